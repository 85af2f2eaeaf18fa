package flagvalue

import (
	"encoding/base64"
	"errors"
	"strings"
)

// RelayTokens are what 'bdt-pn token' has printed, decoded.
type RelayTokens [][]byte

// Set adds a token.
func (l *RelayTokens) Set(s string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 {
		return errors.New("it is no token as 'bdt-pn token' prints it")
	}
	*l = append(*l, b)
	return nil
}

// String returns the tokens as they are written, with commas.
func (l *RelayTokens) String() string {
	var list []string
	for _, b := range *l {
		list = append(list, base64.RawURLEncoding.EncodeToString(b))
	}
	return strings.Join(list, ",")
}

// Type names the value in help texts.
func (*RelayTokens) Type() string { return "TOKEN" }
