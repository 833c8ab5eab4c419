package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agent-launcher/agent-launcher/controlplane"
)

type serveFlags struct {
	data, listen, cert, key, masterKey string

	ttl time.Duration
}

func serveCommand(stdout, stderr io.Writer) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --data DIR --listen ADDR",
		Short: "Serve the API until SIGTERM or SIGINT",
		Long: `Serve the API until SIGTERM or SIGINT. The first start writes DIR/operator.token,
the token that may do everything, DIR/master.key and DIR/signing.key, each with
mode 0600. Without the master key the data cannot be read: keep a copy of it
elsewhere.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (f.cert == "") != (f.key == "") {
				return errors.New("--tls-cert and --tls-key go together")
			}
			if err := serve(cmd.Context(), f, stdout, newLog(stderr)); err != nil {
				return runtimeError{err}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "`directory` of database and keys, made with mode 0700")
	flags.StringVar(&f.listen, "listen", "", "`address` to listen on, host:port; port 0 takes a free one")
	flags.StringVar(&f.cert, "tls-cert", "", "certificate chain, PEM `file`; needed for any address but loopback")
	flags.StringVar(&f.key, "tls-key", "", "private key of the certificate, PEM `file`")
	flags.StringVar(&f.masterKey, "master-key-file", "", "`file` with the master key, base64 of 32 bytes (default DIR/master.key, made on the first start)")
	flags.DurationVar(&f.ttl, "bundle-ttl", controlplane.DefaultBundleTTL, "how long a sealed bundle can be opened")
	for _, name := range []string{"data", "listen"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func serve(ctx context.Context, f serveFlags, stdout io.Writer, log *zap.Logger) (err error) {
	if err := hardenProcess(); err != nil {
		return err
	}
	cert, err := certificate(f)
	if err != nil {
		return err
	}
	l, err := controlplane.Listen(f.listen, cert != nil)
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := controlplane.Open(controlplane.Options{Data: f.data, MasterKeyFile: f.masterKey, BundleTTL: f.ttl, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	scheme := "http"
	if cert != nil {
		scheme = "https"
	}
	if _, err := fmt.Fprintf(stdout, "listening on %s://%s\n", scheme, l.Addr()); err != nil {
		return fmt.Errorf("cannot print the address: %w", err)
	}
	return server.Serve(ctx, l, cert)
}

// certificate is nil without TLS.
func certificate(f serveFlags) (*tls.Certificate, error) {
	if f.cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("cannot use TLS certificate: %w", err)
	}
	return &cert, nil
}

// newLog writes JSON lines. No sampling: each line is a request.
func newLog(w io.Writer) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.SecondsDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.Lock(zapcore.AddSync(w)), zapcore.InfoLevel))
}
