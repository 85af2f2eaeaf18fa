package main

import (
	"errors"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/sn"
)

// stateNone is the --state that keeps nothing.
const stateNone = "none"

// explain returns an error of opening the server with what to do about it.
func explain(err error) error {
	switch {
	case errors.Is(err, sn.ErrConfig):
		return command.Advise(err, "correct that value: 'bdt-sn --help' and deploy/sn.yaml say what each setting takes")
	case errors.Is(err, sn.ErrStateLocked):
		return command.Advise(err, "is another bdt-sn running with this key? stop it, or name another file with --state FILE")
	case errors.Is(err, sn.ErrStateKey):
		return command.Advise(err, "use the key that it was made with, name another file with --state FILE, or remove it: devices will register again")
	case errors.Is(err, sn.ErrState):
		return command.Advise(err, "name another file with --state FILE, or keep nothing with --state none")
	}
	return command.Advise(err, "choose other addresses with --listen (0.0.0.0:PORT for IPv4 alone), or check --advertise HOST:PORT")
}
