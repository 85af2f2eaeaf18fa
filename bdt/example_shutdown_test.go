package bdt_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// A program that has written what it had to say, and ends.
func ExampleStack_Shutdown() {
	alice, bob := exampleStack(), exampleStack()
	defer bob.Close()
	meet(alice, bob)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	ln, err := bob.Listen("notes", bdt.Only(alice.ID()))
	if err != nil {
		log.Fatal(err)
	}
	read := make(chan string)
	go func() {
		note, err := ln.AcceptConn(ctx)
		if err != nil {
			log.Fatal(err)
		}
		text, _ := io.ReadAll(note)
		read <- string(text)
	}()
	conn, err := alice.Dial(ctx, bob.ID(), "notes")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(conn, "the last word")
	conn.Close()
	if err := alice.Shutdown(ctx); err != nil { // with Close the note might be lost
		log.Fatal(err)
	}
	fmt.Println(<-read)
	// Output: the last word
}
