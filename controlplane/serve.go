package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Timeouts of connections. The largest request and reply have 8 and 64 MiB.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 30 * time.Second
	writeTimeout    = 2 * time.Minute
	idleTimeout     = 2 * time.Minute
	maxHeaderBytes  = 16 << 10
	shutdownTimeout = 10 * time.Second
)

// Listen listens on addr, host:port. Without TLS it refuses every address but
// loopback: tokens and values would cross the network in the clear.
func Listen(addr string, withTLS bool) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); withTLS || ok && tcp.IP.IsLoopback() {
		return l, nil
	}
	// Nothing has been accepted from l.
	_ = l.Close()
	return nil, withHint(fmt.Errorf("cannot listen on %s: plain HTTP is for loopback addresses only", addr),
		"give --tls-cert and --tls-key, or listen on 127.0.0.1")
}

// Serve answers requests on l, with TLS if cert is not nil, until ctx ends;
// then it lets running requests finish. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, cert *tls.Certificate) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(s.log.Named("http")),
		BaseContext: func(net.Listener) context.Context { // a host that waits for changes must not delay the end
			return context.WithValue(context.Background(), endingKey{}, ctx.Done())
		},
	}
	ended := make(chan error, 1)
	go func() {
		if cert == nil {
			ended <- server.Serve(l)
			return
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS13}
		ended <- server.ServeTLS(l, "", "")
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(limit)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	return err
}
