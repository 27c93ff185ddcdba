// Runs a task, and puts and gets a file, by gRPC. Usage: example HOST:PORT (README.md tells how the messages are generated).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sphere "example/gen/velas/sphere/v1"
)

const pieceBytes = 1 << 18

func runTask(ctx context.Context, conn *grpc.ClientConn, input string) (string, error) {
	answer, err := sphere.NewTaskServiceClient(conn).Run(ctx, &sphere.RunTaskRequest{
		Task: &sphere.TaskSpec{Plugin: "demo", Input: []byte(input)},
	})
	if err != nil {
		return "", err
	}
	return string(answer.Output), nil
}

func putFile(ctx context.Context, conn *grpc.ClientConn, name string, content []byte) (*sphere.File, error) {
	stream, err := sphere.NewFileServiceClient(conn).Put(ctx)
	if err != nil {
		return nil, err
	}
	size := uint64(len(content))
	order := &sphere.PutFileOrder{Name: name, SizeBytes: &size, AllowFewer: true}
	if err := stream.Send(&sphere.PutFileRequest{Message: &sphere.PutFileRequest_Order{Order: order}}); err != nil {
		return nil, err
	}
	for rest := content; len(rest) > 0; {
		piece := rest[:min(pieceBytes, len(rest))]
		rest = rest[len(piece):]
		if err := stream.Send(&sphere.PutFileRequest{Message: &sphere.PutFileRequest_Chunk{Chunk: piece}}); err != nil {
			return nil, err
		}
	}
	// Without it, what came counts as the beginning of an upload that broke off.
	end := &sphere.PutFileRequest{Message: &sphere.PutFileRequest_End{End: &sphere.PutFileEnd{}}}
	if err := stream.Send(end); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if file := answer.GetFile(); file != nil {
			return file, nil
		}
	}
}

func getFile(ctx context.Context, conn *grpc.ClientConn, name string) ([]byte, error) {
	stream, err := sphere.NewFileServiceClient(conn).Get(ctx, &sphere.GetFileRequest{
		File: &sphere.FileRef{Ref: &sphere.FileRef_Name{Name: name}},
	})
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return content.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		content.Write(answer.GetChunk())
	}
}

func run(target string) error {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	output, err := runTask(ctx, conn, "hello")
	if err != nil {
		return err
	}
	fmt.Println(output)
	content := bytes.Repeat([]byte("velas sphere "), 80_000)
	stored, err := putFile(ctx, conn, "examples/go.bin", content)
	if err != nil {
		return err
	}
	read, err := getFile(ctx, conn, stored.Name)
	if err != nil {
		return err
	}
	if !bytes.Equal(read, content) {
		return errors.New("the file came back changed")
	}
	fmt.Printf("%s %d %x\n", stored.Name, stored.SizeBytes, stored.Sha256)
	return nil
}

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
