package bdt_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/bdtnet/bdt/bdt"
)

// An HTTP client asks a device by its id; the server knows who asks.
func ExampleStack_HTTPTransport() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ln, err := server.Listen(bdt.HTTPService, bdt.Everyone)
	if err != nil {
		log.Fatal(err)
	}
	greet := func(w http.ResponseWriter, r *http.Request) {
		conn, _ := bdt.ConnFromContext(r.Context())
		fmt.Fprint(w, r.URL.Path, " ", conn.Peer().ID() == client.ID())
	}
	go server.HTTPServer(http.HandlerFunc(greet)).Serve(ln)
	meet(client, server)

	web := &http.Client{Transport: client.HTTPTransport()}
	resp, err := web.Get("bdt://" + server.ID().String() + "/news")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK /news true <nil>
}

// One client for the web and for devices.
func ExampleHTTPTransport() {
	stack := exampleStack()
	defer stack.Close()
	both := http.DefaultTransport.(*http.Transport).Clone()
	both.RegisterProtocol("bdt", stack.HTTPTransport())
	client := &http.Client{Transport: both}
	defer client.CloseIdleConnections()
	_, err := client.Get("bdt://example.org/")
	fmt.Println(err != nil) // not the id of a device
	// Output: true
}

// HTTPServer makes a server that may be changed before it serves.
func ExampleStack_HTTPServer() {
	stack := exampleStack()
	ln, err := stack.Listen("files", bdt.OwnZone)
	if err != nil {
		log.Fatal(err)
	}
	server := stack.HTTPServer(http.FileServer(http.Dir(".")))
	server.MaxHeaderBytes = 16 << 10
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()
	stack.Close() // or server.Shutdown
	fmt.Println(<-served != nil)
	// Output: true
}

// A server of one's own tells who calls if it has ConnContext.
func ExampleConnContext() {
	stack := exampleStack()
	defer stack.Close()
	server := &http.Server{
		ConnContext: bdt.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, ok := bdt.ConnFromContext(r.Context()); !ok || !conn.Rights().Has(bdt.MayWrite) {
				http.Error(w, "you may not write", http.StatusForbidden)
			}
		}),
	}
	fmt.Println(server.ConnContext != nil)
	// Output: true
}
