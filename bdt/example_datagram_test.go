package bdt_test

import (
	"context"
	"fmt"
	"log"

	"github.com/bdtnet/bdt/bdt"
)

// Datagrams may get lost, so the client asks until it is answered.
func ExampleStack_DialDatagrams() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ctx := context.Background()
	ln, err := server.ListenDatagrams("position", bdt.Everyone)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		flow, err := ln.Accept(ctx)
		for err == nil {
			var question []byte
			if question, err = flow.Receive(ctx); err == nil {
				err = flow.Send(append(question, " is at 3,4"...))
			}
		}
	}()
	meet(client, server)

	flow, err := client.DialDatagrams(ctx, server.ID(), "position")
	if err != nil {
		log.Fatal(err)
	}
	defer flow.Close()
	if err := flow.Send([]byte("alice")); err != nil {
		log.Fatal(err)
	}
	answer, err := flow.Receive(ctx) // on loopback nothing is lost
	fmt.Printf("%s %v\n", answer, err)
	// Output: alice is at 3,4 <nil>
}

// A flow that is refused says so when it is used.
func ExampleStack_ListenDatagrams() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ln, err := server.ListenDatagrams("position", bdt.OwnZone)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	meet(client, server)
	flow, err := client.DialDatagrams(context.Background(), server.ID(), "position")
	if err != nil {
		log.Fatal(err)
	}
	_, err = flow.Receive(context.Background())
	fmt.Println(err != nil)
	// Output: true
}
