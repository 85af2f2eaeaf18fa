// Package kernel runs a scenario on a network of the kernel's (package natlab), with the real
// programs bdt and bdt-sn, in real time. It does what the simulator does as far as
// it can; [Unsupported] says what it cannot, and [Beside] what it leaves out.
package kernel
