package launcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// relief looks after a run that goes on: heartbeats that are due meanwhile are
// its. It plans and resolves, and lets the run be unless there is a reason to end
// it. A healthy run is never ended before the next one can start:
//
//	due ─▶ plan, resolve ─▶ failed: the run goes on, status says why
//	                    ├─▶ refused, onRevoke stop: the run is ended
//	                    ├─▶ service, nothing changed: the run goes on
//	                    └─▶ ready: the run is ended, gracefully, then the loop starts
//	                        the next one
type relief struct {
	a      *agent
	run    runs.Record
	end    func(error) // of the run
	cancel context.CancelFunc
	done   chan struct{}
}

// relieve begins to look after run, if the agent's file has any use for that.
// end ends the run. The caller stops the relief when the run has ended.
func (a *agent) relieve(ctx context.Context, run runs.Record, end func(error)) *relief {
	ctx, cancel := context.WithCancel(ctx)
	r := &relief{a: a, run: run, end: end, cancel: cancel, done: make(chan struct{})}
	a.mu.Lock()
	if len(a.waiters) > 0 && r.takesOver(a.cfg) { // woken for another task meanwhile
		defer a.trigger(TriggerWake)
	}
	a.mu.Unlock()
	go func() {
		defer close(r.done)
		for {
			trigger, ok := r.await(ctx)
			if !ok || r.replaced(ctx, trigger) {
				return
			}
		}
	}()
	return r
}

func (r *relief) stop() {
	r.cancel()
	<-r.done
}

// await waits for a heartbeat that is due during the run. With overlap skip only
// the timer counts, and only to see whether the run may go on; what else comes
// waits for the run's end.
func (r *relief) await(ctx context.Context) (Trigger, bool) {
	r.a.mu.Lock()
	pokes, looks := r.a.poke, r.a.cfg.OnRevoke == config.RevokeStop
	if !r.takesOver(r.a.cfg) {
		pokes = nil
	}
	var timer <-chan time.Time
	if (pokes != nil || looks) && r.a.timed() {
		t := time.NewTimer(max(time.Until(r.a.next), 0))
		defer t.Stop()
		timer = t.C
	}
	changed := r.a.changed
	r.a.mu.Unlock()
	select {
	case <-ctx.Done():
		return look, false
	case <-timer:
		return TriggerTimer, true
	case t := <-pokes:
		return t, true
	case <-changed: // the file: what it has to say of this is read again
		return look, true
	}
}

// takesOver: heartbeats that are due during the run may end it.
func (r *relief) takesOver(cfg *config.Agent) bool {
	return r.run.Service || cfg.Lifecycle == config.LifecycleService || cfg.Overlap == config.OverlapReplace
}

// replaced makes the next run ready and ends the one that goes on for it, if there is a
// reason. It reports whether its work is done.
func (r *relief) replaced(ctx context.Context, trigger Trigger) bool {
	p, waiters := r.begin(trigger)
	if p == nil {
		return false
	}
	hb := &control.Heartbeat{At: time.Now(), Trigger: string(p.trigger), RunID: r.run.RunID}
	ready, err := r.prepare(ctx, p)
	var refused *protocol.AgentError
	switch {
	case ctx.Err() != nil: // the run ended by itself meanwhile: the loop takes over
		if r.takesOver(p.agent) {
			r.a.giveBack(p.trigger, waiters)
		}
		return true
	case err != nil && p.world != r.a.d.world.Load(): // a reload came in between
		r.a.giveBack(p.trigger, waiters)
		return false
	case err != nil:
		hb.Error = err.Error()
		if errors.As(err, &refused) && p.agent.OnRevoke == config.RevokeStop {
			r.end(fmt.Errorf("revoked: %w", err))
		}
	case r.takesOver(p.agent):
		if why := r.reason(p.agent, ready); why != "" {
			p.ready = ready
			return r.replace(&successor{p, waiters}, why)
		}
	}
	r.tell(hb, waiters)
	return false
}

// replace ends the run for s, unless it is not wanted any more: the agent was
// stopped, drained or edited while s was made ready.
func (r *relief) replace(s *successor, why string) bool {
	r.a.mu.Lock()
	wanted := r.a.due(s.pass.trigger) && reflect.DeepEqual(s.pass.agent, r.a.cfg)
	if wanted {
		r.a.successor = s
		r.end(&replacedError{why})
	}
	r.a.mu.Unlock()
	if !wanted {
		r.a.giveBack(s.pass.trigger, s.waiters)
	}
	return wanted
}

func (r *relief) prepare(ctx context.Context, p *pass) (*prepared, error) {
	keeper, err := p.keeper.get()
	if err != nil {
		return nil, err
	}
	return p.prepareNow(ctx, keeper.Host())
}

// reason is why the run must give way; empty: it need not.
func (r *relief) reason(cfg *config.Agent, ready *prepared) string {
	if cfg.Lifecycle == config.LifecycleRun && !r.run.Service {
		return "by the next heartbeat"
	}
	if r.run.ConfigSum != sumOf(cfg) {
		return "because its file changed"
	}
	changed := changedRefs(r.run.Refs, runs.Refs(ready.bundle.Bundle))
	if len(changed) == 0 || cfg.OnRotate == config.RotateNextStart {
		return ""
	}
	return "because of " + strings.Join(changed, ", ")
}

// changedRefs names what is different.
func changedRefs(old, new []runs.Ref) (out []string) {
	for _, n := range new {
		i := slices.IndexFunc(old, func(o runs.Ref) bool { return o.Name == n.Name })
		switch {
		case i < 0:
			out = append(out, n.Name+", which is new")
		case old[i].Version != n.Version:
			out = append(out, fmt.Sprintf("%s version %d, it had %d", n.Name, n.Version, old[i].Version))
		case old[i].SecretID != n.SecretID:
			out = append(out, n.Name+", which is another secret")
		}
	}
	for _, o := range old {
		if !slices.ContainsFunc(new, func(n runs.Ref) bool { return n.Name == o.Name }) {
			out = append(out, o.Name+", which is gone")
		}
	}
	return out
}

// replacedError is why a run ended that another one follows.
type replacedError struct{ why string }

func (e *replacedError) Error() string { return "replaced " + e.why }

// successor is a heartbeat that is ready and waits for the end of the run before.
type successor struct {
	pass    *pass
	waiters []waiter
}

// begin takes what a heartbeat needs while the run goes on, or returns nil if it
// is not due.
func (r *relief) begin(trigger Trigger) (*pass, []waiter) {
	a := r.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiters) > 0 && r.takesOver(a.cfg) {
		trigger = TriggerWake
	}
	if !a.due(trigger) {
		return nil, nil
	}
	a.next = time.Now().Add(a.jittered())
	p, waiters := a.newPass(trigger, r.takesOver(a.cfg))
	p.state = func(string) {} // it is running
	return p, waiters
}

// giveBack leaves a heartbeat, and the wakes that wait for it, to the next.
func (a *agent) giveBack(trigger Trigger, waiters []waiter) {
	a.mu.Lock()
	a.waiters = append(waiters, a.waiters...)
	a.mu.Unlock()
	a.trigger(trigger)
}

// tell is the end of a heartbeat that left the run as it was.
func (r *relief) tell(hb *control.Heartbeat, waiters []waiter) {
	a := r.a
	a.mu.Lock()
	a.lastBeat = hb
	var rec *runs.Record
	if a.run != nil {
		r := a.run.Record()
		rec = r.Shown()
	}
	more := len(a.waiters) > 0 && r.takesOver(a.cfg) // else they wait for the run's end
	a.mu.Unlock()
	if hb.Error != "" {
		a.d.log.Warn("heartbeat failed: the run goes on", zap.String("agent", a.name), zap.String("trigger", hb.Trigger), zap.String("error", hb.Error))
	}
	for _, w := range waiters {
		w.done <- &control.Woken{Agent: a.name, Heartbeat: hb, Run: rec}
	}
	if more {
		a.trigger(TriggerWake)
	}
}

// sumOf stands for all that an agent's file says of its process.
func sumOf(cfg *config.Agent) string {
	c := *cfg
	c.File, c.DisplayName, c.Overlap, c.OnRotate, c.OnRevoke, c.StaleGrace = "", "", "", "", "", 0
	c.Heartbeat.Enabled, c.Heartbeat.Interval = false, 0
	data, err := json.Marshal(c)
	if err != nil {
		return "" // it was read from JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
