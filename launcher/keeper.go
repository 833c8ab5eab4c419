package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// keeperLink is the way to the keeper. It is found again when it is gone: one
// that this daemon starts itself is started anew, a configured one is only
// tried again.
type keeperLink struct {
	stage  string
	socket string
	key    string
	own    bool // not configured: started here
	once   bool // for this process alone: it ends with us
	log    *zap.Logger
	found  func(*sandbox.Keeper) // told of each keeper that was connected; may be nil

	last atomic.Pointer[sandbox.Keeper] // k, for who must not wait for a keeper that starts or hangs
	why  atomic.Pointer[error]          // of the last attempt; nil: it worked

	mu   sync.Mutex // held while a keeper is found
	k    *sandbox.Keeper
	over bool // nothing is connected any more
}

func newKeeperLink(cfg *config.Config, log *zap.Logger) (*keeperLink, error) {
	l := &keeperLink{socket: cfg.KeeperSocket, key: cfg.HostKeyFile, log: log}
	if l.socket != "" {
		return l, nil
	}
	l.own, l.socket = true, filepath.Join(cfg.StateDir, "keeper.sock")
	if len(l.socket) > maxSocket {
		return nil, fmt.Errorf("cannot put the keeper's socket into stateDir: %s has %d bytes, the limit is %d (unix(7))", l.socket, len(l.socket), maxSocket)
	}
	var err error
	l.stage, err = trustedStage()
	return l, err
}

// maxSocket is the longest path of a unix socket in bytes.
const maxSocket = 107

func trustedStage() (string, error) {
	stage, err := sandbox.StagePath()
	if err != nil {
		return "", err
	}
	return stage, trust.Check(stage)
}

// get returns the keeper, connected anew if need be.
func (l *keeperLink) get() (*sandbox.Keeper, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil, errStopping
	}
	if l.k != nil && alive(l.k) {
		return l.k, nil
	}
	var err error
	if l.k, err = l.connect(); err != nil {
		l.k = nil
		l.why.Store(&err)
		return nil, err
	}
	l.why.Store(nil)
	l.last.Store(l.k)
	if l.found != nil {
		l.found(l.k)
	}
	go l.replace(l.k)
	return l.k, nil
}

// replace finds the keeper again as soon as k is gone, and not at the next
// heartbeat: the next one ends what k's agents may have left.
func (l *keeperLink) replace(k *sandbox.Keeper) {
	<-k.Gone()
	if _, err := l.get(); err != nil && !errors.Is(err, errStopping) {
		l.log.Error("the keeper is gone, and no other is there yet: every heartbeat tries again", zap.Error(err))
	}
}

func (l *keeperLink) connect() (*sandbox.Keeper, error) {
	switch {
	case !l.own:
		return sandbox.Dial(l.socket)
	case l.once:
		return sandbox.TemporaryKeeper(l.stage, l.socket, l.key)
	}
	return sandbox.StartKeeper(l.stage, l.socket, l.key)
}

func alive(k *sandbox.Keeper) bool {
	select {
	case <-k.Gone():
		return false
	default:
		return true
	}
}

// state is the connected keeper, nil if there is none, and why not. It never
// waits.
func (l *keeperLink) state() (*sandbox.Keeper, error) {
	if k := l.last.Load(); k != nil && alive(k) {
		return k, nil
	}
	if err := l.why.Load(); err != nil {
		return nil, *err
	}
	return nil, sandbox.ErrKeeperGone
}

// close ends the connection, and with quit a keeper of our own: nothing runs
// any more.
func (l *keeperLink) close(quit bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.k == nil || !alive(l.k) {
		return
	}
	if !quit || !l.own {
		l.k.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keeperPatience)
	defer cancel()
	if err := l.k.Quit(ctx); err != nil {
		l.log.Error("the keeper is left", zap.Error(err))
	}
}

// temporaryKeeper is one of our own, at a socket of its own, for as long as a
// command runs: the daemon's serves one launcher at a time. end ends it.
func temporaryKeeper(key string, log *zap.Logger) (l *keeperLink, end func(), err error) {
	l = &keeperLink{own: true, once: true, key: key, log: log}
	if l.stage, err = trustedStage(); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "agent-launcher-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a place for the keeper's socket: %w", err)
	}
	l.socket = filepath.Join(dir, "keeper.sock")
	return l, func() { l.close(true); _ = os.RemoveAll(dir) }, nil
}
