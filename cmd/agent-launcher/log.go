package main

import (
	"fmt"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"

	"github.com/agent-launcher/agent-launcher/internal/lossy"
)

// flushPatience is how long the last lines have to come out at the end.
const flushPatience = time.Second

// daemonLog is the daemon's log on stderr. It never waits for whoever reads
// that: a full pipe would stop every agent's loop, and SIGTERM.
type daemonLog struct {
	*zap.Logger
	stderr *lossy.Writer
}

func newDaemonLog(level string) (*daemonLog, error) {
	l, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	enc := encoder()
	stderr := lossy.New(os.Stderr, func(dropped int) []byte { return droppedLine(enc, dropped) })
	log := zap.New(zapcore.NewCore(enc, zapcore.AddSync(stderr), l), zap.ErrorOutput(zapcore.AddSync(stderr)))
	// What libraries print by themselves must not wait either.
	zap.RedirectStdLog(log)
	grpclog.SetLoggerV2(zapgrpc.NewLogger(log.WithOptions(zap.IncreaseLevel(zapcore.ErrorLevel))))
	return &daemonLog{log, stderr}, nil
}

// close lets the last lines out.
func (d *daemonLog) close() { d.stderr.Flush(flushPatience) }

func droppedLine(enc zapcore.Encoder, dropped int) []byte {
	line, err := enc.Clone().EncodeEntry(zapcore.Entry{Level: zapcore.WarnLevel, Time: time.Now(),
		Message: "log lines are missing here: stderr did not take them"}, []zapcore.Field{zap.Int("dropped", dropped)})
	if err != nil {
		return fmt.Appendf(nil, "%d log lines are missing here\n", dropped)
	}
	defer line.Free()
	return append([]byte(nil), line.Bytes()...)
}

// foregroundLog is for commands that somebody watches.
func foregroundLog(level zapcore.Level) *zap.Logger {
	return zap.New(zapcore.NewCore(encoder(), zapcore.Lock(os.Stderr), level))
}

func parseLevel(level string) (zapcore.Level, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return l, fmt.Errorf("unknown log level %q: debug, info, warn or error", level)
	}
	return l, nil
}

// encoder writes JSON for machines, and lines for people on a terminal. Nothing
// is sampled: every line counts at night.
func encoder() zapcore.Encoder {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	if isatty.IsTerminal(os.Stderr.Fd()) {
		cfg.EncodeLevel = zapcore.CapitalColorLevelEncoder
		return zapcore.NewConsoleEncoder(cfg)
	}
	return zapcore.NewJSONEncoder(cfg)
}
