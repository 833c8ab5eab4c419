package adapter

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// observeStream is the server's end of an Observe call.
type observeStream = grpc.BidiStreamingServer[adapterpb.ObserveRequest, adapterpb.ObserveResponse]

// Observe implements adapterpb.AdapterServer.
func (s *server) Observe(stream observeStream) error {
	observer, ok := s.adapter.(Observer)
	if !ok {
		return s.UnimplementedAdapterServer.Observe(stream)
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return status.Error(codes.InvalidArgument, "the first message is not start")
	}
	out := &output{stream: stream}
	var sending sync.Mutex // an observer may report from several goroutines
	outcome, err := observer.Observe(stream.Context(), &Observation{
		AgentID:   start.GetAgentId(),
		AgentName: start.GetAgentName(),
		CompanyID: start.GetCompanyId(),
		RunID:     start.GetRunId(),
		Task:      start.GetTask(),
		Session:   sessionFrom(start.GetSession()),
		Carry:     start.GetCarry(),
		Lines:     out.lines,
		Exit:      func() Exit { return out.exit },
		Progress: func(text string) {
			sending.Lock()
			defer sending.Unlock()
			_ = stream.Send(&adapterpb.ObserveResponse{Of: &adapterpb.ObserveResponse_Progress{Progress: &adapterpb.Progress{Text: valid(text)}}})
		},
	})
	if err != nil {
		outcome.Error, outcome.Class = err.Error(), ErrorOther
	}
	sending.Lock()
	defer sending.Unlock()
	return stream.Send(&adapterpb.ObserveResponse{Of: &adapterpb.ObserveResponse_Outcome{Outcome: outcome.wire()}})
}

func (o *Outcome) wire() *adapterpb.Outcome {
	return &adapterpb.Outcome{
		Session: sessionTo(o.Session),
		Usage:   &adapterpb.Usage{InputTokens: o.Usage.InputTokens, OutputTokens: o.Usage.OutputTokens, CachedInputTokens: o.Usage.CachedInputTokens},
		CostUsd: o.CostUSD, Summary: valid(o.Summary), Error: valid(o.Error), ErrorClass: string(o.Class),
	}
}

// valid mends what an agent printed: a string that is not UTF-8 would end the
// call.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// output makes lines of what comes.
type output struct {
	stream observeStream
	exit   Exit
	part   []byte // of a line
	skip   bool   // the rest of a line that is too long
}

// lines is Observation.Lines. It can be called once.
func (o *output) lines(yield func([]byte) bool) {
	for {
		m, err := o.stream.Recv()
		if exit := m.GetExit(); exit != nil || err != nil {
			if err != nil && err != io.EOF {
				return // the daemon is gone
			}
			o.exit = Exit{Code: int(exit.GetCode()), Signal: int(exit.GetSignal()), Reason: exit.GetReason()}
			if len(o.part) > 0 {
				yield(o.part)
			}
			return
		}
		if !o.cut(m.GetOutput().GetData(), yield) {
			return
		}
	}
}

// cut yields the lines that end in data.
func (o *output) cut(data []byte, yield func([]byte) bool) bool {
	for len(data) > 0 {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if data = rest; !o.skip {
			o.part = append(o.part, line...)
		}
		if len(o.part) > MaxLine {
			o.part, o.skip = nil, true
		}
		if !ended {
			return true
		}
		done := o.part
		if o.part = nil; o.skip {
			o.skip = false
			continue
		}
		if !yield(done) {
			return false
		}
	}
	return true
}

// guardStream is guard for streams.
func guardStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", v, debug.Stack())
			err = status.Errorf(codes.Internal, "the adapter panicked: %v", v)
		}
	}()
	return handle(srv, stream)
}
