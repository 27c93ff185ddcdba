// A plugin as they were written for the original Velas Sphere node: a gRPC server of resources.Plugin and nothing else, no health
// service, no reflection, no description of itself. A node finds that out by asking (protocol "auto") or is told (protocol "original").
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"velas-sphere/go-original/resources"
)

type plugin struct {
	resources.UnimplementedPluginServer
}

// RequestJobExecution answers "world" to "hello", as the original demo plugin did, and greets anybody else.
func (plugin) RequestJobExecution(_ context.Context, job *resources.JobRequest) (*resources.JobResponse, error) {
	switch job.Input {
	case "":
		return nil, status.Error(codes.InvalidArgument, "nobody to greet: the input is empty")
	case "hello":
		return &resources.JobResponse{Id: job.Id, Output: "world"}, nil
	default:
		return &resources.JobResponse{Id: job.Id, Output: "hello, " + job.Input}, nil
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:8082", "where to listen; port 0 takes a free one")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	resources.RegisterPluginServer(server, plugin{})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		server.GracefulStop()
	}()
	fmt.Printf("listening on %s\n", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
