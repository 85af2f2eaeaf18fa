package pn

import "errors"

// ErrConfig: [Config] holds a value that [Open] and [Server.Reload] do not take.
var ErrConfig = errors.New("configuration")
