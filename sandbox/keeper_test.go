package sandbox_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// A second launcher hears that there is another, and a keeper that is gone is
// told from one that refuses.
func TestDial(t *testing.T) {
	h := newHost(t)
	socket := filepath.Join(publicDir(t), "keeper.sock")
	if _, err := sandbox.Dial(socket); err == nil {
		t.Error("nobody listens there")
	}
	first, err := sandbox.StartKeeper(h.stage, socket, h.key)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // the refusal may come before the greeting is sent, or after
		if _, err := sandbox.Dial(socket); !errors.Is(err, sandbox.ErrKeeperBusy) {
			t.Errorf("while another is connected: %v", err)
		}
	}
	first.Close()
	p, err := startOn(first, command("/bin/true"), nil, unconfined())
	if !errors.Is(err, sandbox.ErrKeeperGone) {
		t.Errorf("through a closed connection: %v, %v", p, err)
	}
	second, err := sandbox.StartKeeper(h.stage, socket, h.key)
	if err != nil {
		t.Fatal(err)
	}
	if second.PID() != first.PID() {
		t.Error("a second keeper was started beside one that lives")
	}
	quit(t, second)
}
