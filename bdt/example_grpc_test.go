package bdt_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// gRPC runs over the streams of two devices: its server takes a Listener, its client
// a dialler. Both ends are authenticated already, so it needs no credentials of its own.
func Example_grpc() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ln, err := server.Listen("grpc", bdt.Only(client.ID()))
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(ln)
	defer s.Stop()
	meet(client, server)

	conn, err := grpc.NewClient("passthrough:///"+server.ID().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			id, err := identity.ParseID(addr)
			if err != nil {
				return nil, err
			}
			return client.Dial(ctx, id, "grpc")
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	answer, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err)
	// Output: SERVING <nil>
}
