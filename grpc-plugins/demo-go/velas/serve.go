// Package velas serves functions to a Velas Sphere node over gRPC. Copy it with your plugin; docs/plugins.md of the node says what
// it does and why.
package velas

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	pieceBytes = 1 << 20         // gRPC takes messages of up to 4 MiB
	grace      = 4 * time.Second // the node kills after five
)

// Levels of log lines.
const (
	Trace = LogLevel_LOG_LEVEL_TRACE
	Debug = LogLevel_LOG_LEVEL_DEBUG
	Info  = LogLevel_LOG_LEVEL_INFO
	Warn  = LogLevel_LOG_LEVEL_WARN
	Error = LogLevel_LOG_LEVEL_ERROR
)

// Plugin is what a node lists.
type Plugin struct {
	Name, Version, Description string
	// MaxConcurrency is how many calls it takes at once; 0 means as many as the node likes.
	MaxConcurrency uint32
	// GPU says that it works on the GPU: the node then executes one function at a time of all plugins that do.
	GPU       bool
	Functions []Function
}

// Function is one that tasks can name. An error that Run returns is its task's failure.
type Function struct {
	Name, Description     string
	InputType, OutputType string
	Run                   func(call *Call) error
}

// Call is one run of a function. Writing to it gives output, at once for a caller that streams.
type Call struct {
	// Context is done when nobody waits for the result any more: stop then.
	Context     context.Context
	ContentType string
	Limits      *TaskLimits
	// Input gives the input as it comes.
	Input io.Reader

	mutex     sync.Mutex
	gpuMicros uint64
	stream    grpc.BidiStreamingServer[ExecuteRequest, ExecuteResponse]
}

// Text returns the whole input, and an error when it is not UTF-8.
func (call *Call) Text() (string, error) {
	input, err := io.ReadAll(call.Input)
	if err == nil && !utf8.Valid(input) {
		err = errors.New("The input is not UTF-8 text")
	}
	return string(input), err
}

func (call *Call) Write(output []byte) (int, error) {
	for at := 0; at < len(output); at += pieceBytes {
		piece := output[at:min(at+pieceBytes, len(output))]
		if err := call.send(&ExecuteResponse{Message: &ExecuteResponse_Chunk{Chunk: piece}}); err != nil {
			return at, err
		}
	}
	return len(output), nil
}

// Log adds a line to the task's log.
func (call *Call) Log(level LogLevel, format string, values ...any) {
	line := &LogEvent{Level: level, Message: fmt.Sprintf(format, values...)}
	_ = call.send(&ExecuteResponse{Message: &ExecuteResponse_Log{Log: line}})
}

// Progress says how far the function is, from 0 to 1.
func (call *Call) Progress(fraction float64, message string) {
	event := &ProgressEvent{Fraction: fraction, Message: message}
	_ = call.send(&ExecuteResponse{Message: &ExecuteResponse_Progress{Progress: event}})
}

// UsedGPU adds to the time that the function worked on the GPU. Only a plugin with GPU is paid for it.
func (call *Call) UsedGPU(time time.Duration) {
	call.mutex.Lock()
	defer call.mutex.Unlock()
	call.gpuMicros += uint64(max(0, time.Microseconds()))
}

func (call *Call) send(response *ExecuteResponse) error {
	call.mutex.Lock()
	defer call.mutex.Unlock()
	return call.stream.Send(response)
}

type input struct {
	stream grpc.BidiStreamingServer[ExecuteRequest, ExecuteResponse]
	rest   []byte
}

func (input *input) Read(buffer []byte) (int, error) {
	for len(input.rest) == 0 {
		request, err := input.stream.Recv()
		if err != nil {
			return 0, err
		}
		input.rest = request.GetChunk()
	}
	count := copy(buffer, input.rest)
	input.rest = input.rest[count:]
	return count, nil
}

type service struct {
	UnimplementedPluginServiceServer
	plugin Plugin
}

func (service service) Describe(context.Context, *DescribePluginRequest) (*DescribePluginResponse, error) {
	plugin := service.plugin
	response := &DescribePluginResponse{
		Name: plugin.Name, Version: plugin.Version, Description: plugin.Description, MaxConcurrency: plugin.MaxConcurrency,
		Gpu: plugin.GPU,
	}
	for _, function := range plugin.Functions {
		response.Functions = append(response.Functions, &FunctionInfo{
			Name: function.Name, Description: function.Description,
			InputContentType: function.InputType, OutputContentType: function.OutputType,
		})
	}
	return response, nil
}

func (service service) Execute(stream grpc.BidiStreamingServer[ExecuteRequest, ExecuteResponse]) (failure error) {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return status.Error(codes.InvalidArgument, "The first message must be start")
	}
	for _, function := range service.plugin.Functions {
		if function.Name != start.Function {
			continue
		}
		call := &Call{
			Context: stream.Context(), ContentType: start.ContentType, Limits: start.Limits,
			Input: &input{stream: stream}, stream: stream,
		}
		// A function that panics fails its task, and not the others that run.
		defer func() {
			if reason := recover(); reason != nil {
				failure = status.Error(codes.Unknown, fmt.Sprint(reason))
			}
		}()
		if err := function.Run(call); err != nil {
			return status.Error(codes.Unknown, err.Error())
		}
		result := &ExecuteResult{ContentType: function.OutputType, GpuMicros: call.gpuMicros}
		return call.send(&ExecuteResponse{Message: &ExecuteResponse_Result{Result: result}})
	}
	return status.Errorf(codes.NotFound, "There is no function %q", start.Function)
}

func (service) Cancel(context.Context, *CancelExecutionRequest) (*CancelExecutionResponse, error) {
	return &CancelExecutionResponse{}, nil // gRPC has canceled the call itself
}

// Serve serves until the node is gone: on its socket when a node runs the program, else on the address in the arguments.
func Serve(plugin Plugin) {
	log.SetFlags(0)
	socket, secret := os.Getenv("VELAS_SPHERE_PLUGIN_SOCKET"), os.Getenv("VELAS_SPHERE_PLUGIN_SECRET")
	network, address := "tcp", "127.0.0.1:8082"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	var options []grpc.ServerOption
	if socket != "" {
		if secret == "" {
			log.Fatal("VELAS_SPHERE_PLUGIN_SOCKET is set without VELAS_SPHERE_PLUGIN_SECRET")
		}
		network, address = "unix", socket
		options = onlyWith(secret)
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(options...)
	RegisterPluginServiceServer(server, service{plugin: plugin})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	over := make(chan os.Signal, 2)
	signal.Notify(over, syscall.SIGTERM, syscall.SIGINT)
	if socket != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends when the node does
			over <- syscall.SIGTERM
		}()
	}
	go func() {
		<-over
		time.AfterFunc(grace, server.Stop)
		server.GracefulStop()
	}()
	log.Printf("%s %s serves on %s", plugin.Name, plugin.Version, listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

func onlyWith(secret string) []grpc.ServerOption {
	check := func(ctx context.Context) error {
		for _, given := range metadata.ValueFromIncomingContext(ctx, "velas-plugin-secret") {
			if subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1 {
				return nil
			}
		}
		return status.Error(codes.Unauthenticated, "The call does not carry this plugin's secret")
	}
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := check(ctx); err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := check(stream.Context()); err != nil {
				return err
			}
			return next(server, stream)
		}),
	}
}
