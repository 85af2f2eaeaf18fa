package bdt_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/bdtnet/bdt/bdt"
)

// A call is one question and its answer. The service changes nothing, so a question
// may come with the handshake.
func ExampleStack_Call() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	greet := func(ctx context.Context, q *bdt.Question) ([]byte, error) {
		return fmt.Appendf(nil, "hello %s", q.Data), nil
	}
	if _, err := server.HandleCalls("greet", bdt.CallConfig{Access: bdt.Everyone, ReplaySafe: true, Handler: greet}); err != nil {
		log.Fatal(err)
	}
	meet(client, server)
	answer, err := client.Call(context.Background(), server.ID(), "greet", []byte("world"))
	fmt.Printf("%s %v\n", answer, err)
	// Output: hello world <nil>
}

// The caller gets a handler's error as a CallError.
func ExampleStack_HandleCalls() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	service, err := server.HandleCalls("notes/add", bdt.CallConfig{
		Access: bdt.Everyone,
		Handler: func(ctx context.Context, q *bdt.Question) ([]byte, error) {
			if !q.Rights.Has(bdt.MayWrite) || len(q.Data) == 0 {
				return nil, errors.New("nothing to add")
			}
			return []byte("added"), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	meet(client, server)
	for _, note := range []string{"", "buy milk"} {
		answer, err := client.Call(context.Background(), server.ID(), "notes/add", []byte(note))
		if e, ok := errors.AsType[*bdt.CallError](err); ok {
			fmt.Println("refused:", e.Message)
			continue
		}
		fmt.Printf("%s %v\n", answer, err)
	}
	// Output:
	// refused: nothing to add
	// added <nil>
}
