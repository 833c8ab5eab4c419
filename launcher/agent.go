package launcher

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// agent is one agent with the loop that runs its heartbeats, one at a time.
//
// Timer, wake, config and reload do nothing but poke: a channel of capacity 1,
// so a trigger that finds one pending joins it. Whatever the loop needs to
// know then, it reads under mu: two pokes are one, and none is lost.
type agent struct {
	d    *Daemon
	name string
	poke chan Trigger

	mu        sync.Mutex
	cfg       *config.Agent
	configErr string
	held      bool
	retiring  bool
	ended     bool
	state     string
	waitsFor  string // whose run of the same id it waits for, empty if none
	next      time.Time
	lastBeat  *control.Heartbeat
	lastRun   *runs.Record
	run       *runs.Run
	cancel    context.CancelCauseFunc // of the heartbeat in progress, nil if none
	idle      chan struct{}           // closed at the end of the heartbeat in progress
	coalesced int64
	late      []*adoption   // runs of an earlier daemon that came when the loop ran already
	waiters   []waiter      // the wakes that no heartbeat answers yet, of the oldest task first
	begun     []waiter      // those that the heartbeat in progress answers
	changed   chan struct{} // closed, and another, when the configuration changes
	successor *successor    // what follows the run in progress, nil if nothing is ready
	crashes   int           // of a service, since it was healthy
	place     func()        // among maxRuns, called to leave it; the loop's alone
}

var (
	errStopped    = errors.New("stopped by an operator")
	errSuperseded = errors.New("the configuration changed")
	errRetired    = errors.New("the adapter file is gone")
)

// look pokes the loop to read its state again, without a heartbeat.
const look Trigger = ""

func newAgent(d *Daemon, cfg *config.Agent) *agent {
	a := &agent{d: d, name: cfg.Name, cfg: cfg, poke: make(chan Trigger, 1), changed: make(chan struct{}), state: control.StateIdle}
	a.held = d.store.Held(cfg.Name)
	if records, err := d.store.List(cfg.Name); err != nil {
		d.log.Error("cannot read earlier runs", zap.String("agent", cfg.Name), zap.Error(err))
	} else if len(records) > 0 {
		a.lastRun = lastDone(records)
		// Never later than one interval from now: a clock may once have been ahead.
		a.next = earlier(records[len(records)-1].StartedAt, time.Now()).Add(a.interval())
	}
	if cfg.Lifecycle == config.LifecycleService { // one that runs already is looked at
		a.next = time.Now()
	}
	return a
}

// loop runs heartbeats until ctx ends or the agent's file is gone. adopted are
// runs of an earlier daemon, which come to their end first.
func (a *agent) loop(ctx context.Context, adopted []*adoption) {
	a.outlive(adopted)
	for {
		trigger, ok := a.await(ctx)
		if !ok {
			a.leavePlace()
			id, _ := a.identity()
			a.d.world.Load().source.Forget(id)
			return
		}
		a.outlive(a.takeLate())
		a.beat(ctx, trigger)
	}
}

// await waits for the next trigger. It returns false when the loop must end.
func (a *agent) await(ctx context.Context) (Trigger, bool) {
	if a.endIfOver(ctx) {
		return "", false
	}
	var timer <-chan time.Time
	if wait, ok := a.untilNext(); ok {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return look, true
	case <-timer:
		return TriggerTimer, true
	case t := <-a.poke:
		return t, true
	}
}

// endIfOver ends the agent for good if its file is gone or the daemon stops,
// with an answer for everybody whose wake came too late.
func (a *agent) endIfOver(ctx context.Context) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	why := context.Cause(ctx)
	if why == nil && a.retiring {
		why = errRetired
	}
	if why == nil {
		return false
	}
	a.ended = true
	a.giveUp(why)
	return true
}

// beat runs one heartbeat and tells everybody who waited for it.
func (a *agent) beat(ctx context.Context, trigger Trigger) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := a.begin(trigger, cancel)
	if p == nil {
		a.leavePlace() // of a successor that was not wanted any more
		return
	}
	start := time.Now()
	var relief *relief
	p.begun = func(r *runs.Run) {
		a.mu.Lock()
		a.run = r
		a.mu.Unlock()
		relief = a.relieve(ctx, r.Record(), cancel)
	}
	rec, err := a.alone(ctx, p)
	if relief != nil {
		relief.stop()
	}
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if rec == nil && err != nil && a.outdated(p, err) {
		a.again(p.trigger)
		return
	}
	a.end(&control.Heartbeat{At: start, Trigger: string(p.trigger)}, rec, err, context.Cause(ctx) == nil)
	if err := a.d.store.Prune(a.name, p.world.cfg.Retention.Runs); err != nil {
		a.d.log.Warn("cannot prune runs", zap.String("agent", a.name), zap.Error(err))
	}
}

// alone runs the heartbeat while no other run of the same agent id goes on.
func (a *agent) alone(ctx context.Context, p *pass) (*runs.Record, error) {
	defer a.leavePlace()
	release, err := a.d.agents.ids.acquire(ctx, p.agent.ID, a.name, a.waiting)
	if err != nil {
		return nil, err
	}
	defer release()
	if a.place == nil {
		if a.place, err = a.d.places.take(ctx, func() { a.waiting(control.ForPlace) }); err != nil {
			return nil, err
		}
	}
	return p.do(ctx)
}

func (a *agent) waiting(forWhom string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.waitsFor = control.StateWaiting, forWhom
}

// outdated reports whether a heartbeat failed only because what it began with
// was replaced: the agent's configuration or the daemon's.
func (a *agent) outdated(p *pass, err error) bool {
	return errors.Is(err, errSuperseded) || p.world != a.d.world.Load() && !errors.Is(err, errStopped) && !errors.Is(err, errStopping) && !errors.Is(err, errLeaving) && !errors.Is(err, errRetired) && !errors.Is(err, errDrained)
}

// again puts a heartbeat back that started nothing: who woke the agent still
// waits for it.
func (a *agent) again(trigger Trigger) {
	a.mu.Lock()
	a.waiters, a.begun = append(a.begun, a.waiters...), nil
	if a.held { // stopped just after it was superseded
		a.giveUp(errStopped)
	} else if a.d.drained.Load() {
		a.giveUp(errDrained)
	}
	a.rest(nil)
	a.mu.Unlock()
	a.trigger(trigger)
}

// begin takes what the heartbeat needs, or returns nil if it is not due.
func (a *agent) begin(trigger Trigger, cancel context.CancelCauseFunc) *pass {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.successor; s != nil {
		a.successor = nil
		if a.waiters = append(s.waiters, a.waiters...); a.due(s.pass.trigger) && reflect.DeepEqual(s.pass.agent, a.cfg) {
			a.cancel, a.idle, a.begun = cancel, make(chan struct{}), s.waiters
			a.waiters = a.waiters[len(s.waiters):]
			s.pass.state = a.setState
			return s.pass
		}
	}
	// A wake must not be lost behind a weaker trigger that was pending: those
	// do not start every agent that it does.
	if len(a.waiters) > 0 {
		trigger = TriggerWake
	}
	if !a.due(trigger) {
		if a.held { // it was stopped when its successor was ready
			a.giveUp(errStopped)
		} else if a.d.drained.Load() {
			a.giveUp(errDrained)
		}
		return nil
	}
	a.cancel, a.idle = cancel, make(chan struct{})
	a.next = time.Now().Add(a.jittered())
	p, waiters := a.newPass(trigger, true)
	p.state, a.begun = a.setState, waiters
	return p
}

// newPass is a heartbeat with what the agent knows now, and the wakes that it
// takes if it shall answer any. The caller holds mu.
func (a *agent) newPass(trigger Trigger, answers bool) (*pass, []waiter) {
	var about control.Wake
	var waiters []waiter
	if answers {
		about, waiters = a.nextTask()
	}
	return &pass{
		world: a.d.world.Load(), keeper: a.d.keeper, store: a.d.store, agent: a.cfg, trigger: trigger,
		task: about.Task, wake: about.Context, daemon: a.d,
	}, waiters
}

// end is the end of a heartbeat, which came by itself or was ended.
func (a *agent) end(hb *control.Heartbeat, rec *runs.Record, err error, byItself bool) {
	if rec != nil {
		hb.RunID = rec.RunID
	}
	if err != nil {
		hb.Error = err.Error()
	}
	a.mu.Lock()
	a.lastBeat = hb
	a.rest(rec)
	a.schedule(rec, byItself)
	waiters := a.begun
	a.begun = nil
	more := len(a.waiters) > 0
	next := a.successor
	a.mu.Unlock()
	a.report(hb, rec, err)
	for _, w := range waiters {
		w.done <- &control.Woken{Agent: a.name, Heartbeat: hb, Run: shown(rec)}
	}
	switch {
	case next != nil:
		a.trigger(next.pass.trigger)
	case more: // woken for another task
		a.trigger(TriggerWake)
	}
}

func shown(rec *runs.Record) *runs.Record {
	if rec == nil {
		return nil
	}
	return rec.Shown()
}

// rest is the end of a heartbeat or an adopted run. The caller holds mu.
func (a *agent) rest(rec *runs.Record) {
	a.state, a.waitsFor, a.run, a.cancel = control.StateIdle, "", nil, nil
	if rec != nil {
		a.lastRun = rec
	}
	close(a.idle)
}

func (a *agent) report(hb *control.Heartbeat, rec *runs.Record, err error) {
	log := a.d.log.With(zap.String("agent", a.name), zap.String("trigger", hb.Trigger))
	if rec != nil {
		log = log.With(zap.String("run", rec.RunID), zap.Int("pid", rec.PID), zap.Any("refs", rec.Refs), zap.String("sandbox", rec.Sandbox), zap.Any("exitCode", rec.ExitCode))
	}
	switch {
	case rec != nil && strings.HasPrefix(rec.Reason, "replaced "):
		log.Info("run replaced", zap.String("reason", rec.Reason))
	case errors.Is(err, errStopped) || errors.Is(err, errStopping) || errors.Is(err, errLeaving) || errors.Is(err, errSuperseded) || errors.Is(err, errRetired) || errors.Is(err, errDrained):
		log.Info("heartbeat given up", zap.Error(err))
	case err != nil:
		log.Warn("heartbeat failed: nothing runs", zap.Error(err))
	case rec.Reason != "":
		log.Warn("run ended", zap.String("reason", rec.Reason), zap.String("signal", rec.Signal))
	default:
		log.Info("run ended", zap.String("signal", rec.Signal))
	}
}

func (a *agent) setState(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.waitsFor = s, ""
	if s == control.StateRunning && a.cfg.Lifecycle == config.LifecycleService && a.run != nil { // its end is not waited for
		rec := a.run.Record()
		for _, w := range a.begun {
			w.done <- &control.Woken{Agent: a.name, Heartbeat: &control.Heartbeat{At: rec.StartedAt, Trigger: rec.Trigger, RunID: rec.RunID}, Run: rec.Shown()}
		}
		a.begun = nil
	}
}

func lastDone(records []runs.Record) *runs.Record {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].State.Done() {
			return &records[i]
		}
	}
	return nil
}
