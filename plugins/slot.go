package plugins

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// slot is the place of one plugin: one process that takes calls at a time.
//
//	join ─▶ start (after a pause, if there was one before) ─▶ up ─▶ over
//	          └────────────── failed ────────────────────────────────▲
//	Refresh ─▶ a second one is up ─▶ the first is retired, ends after its last call
type slot struct {
	cur   *start // the last one
	pause *backoff.ExponentialBackOff
	fault error // why the file's newer version does not serve
}

// start is one attempt to have a process, and its whole life.
type start struct {
	done chan struct{} // closed when the fields below are set
	inst *instance
	err  error     // *Error
	at   time.Time // of success or failure
}

// A plugin that ran for this long was not in a crash loop.
const stable = time.Minute

// newPause starts at 0.1 s and stays below the time that a call has, so that
// calls wait for a plugin that often dies and are not refused.
func newPause() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     100 * time.Millisecond,
		MaxInterval:         5 * time.Second,
		Multiplier:          2,
		RandomizationFactor: 0.2,
	}
}

// get returns the running plugin, started if need be. The caller must leave it.
func (h *Host) get(ctx context.Context, name string) (*instance, error) {
	for {
		st, err := h.join(name)
		if err != nil {
			return nil, err
		}
		select {
		case <-st.done:
			if st.err != nil || h.enter(st.inst) {
				return st.inst, st.err
			}
		case <-ctx.Done():
			return nil, &Error{Plugin: name, Kind: KindStart, Message: "not started in time", cause: ctx.Err()}
		}
	}
}

// join returns the start that all callers share: the one that is under way or
// up, or a new one.
func (h *Host) join(name string) (*start, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, closedError(name)
	}
	s := h.slots[name]
	if s == nil {
		if _, err := h.find(name); err != nil {
			return nil, err
		}
		s = &slot{pause: newPause()}
		h.slots[name] = s
	}
	if s.cur != nil && !s.cur.over() {
		return s.cur, nil
	}
	delay := s.delay()
	st := &start{done: make(chan struct{})}
	s.cur, s.fault = st, nil // it reads the file anew
	h.wg.Go(func() { h.run(name, st, delay) })
	return st, nil
}

// delay is how long the next start must wait.
func (s *slot) delay() time.Duration {
	if s.cur == nil {
		return 0
	}
	ended := s.cur.at
	if s.cur.inst != nil {
		ended = s.cur.inst.proc.ended
	}
	if ended.Sub(s.cur.at) > stable {
		s.pause.Reset()
	}
	return s.pause.NextBackOff() - time.Since(ended)
}

// over reports whether the attempt failed or its process ended.
func (st *start) over() bool {
	select {
	case <-st.done:
		return st.err != nil || !st.inst.proc.alive()
	default:
		return false
	}
}

// up reports whether there is a process that answers.
func (st *start) up() bool {
	select {
	case <-st.done:
		return st.err == nil && st.inst.proc.alive()
	default:
		return false
	}
}

// run is the life of one process, from the pause before it to the last trace.
func (h *Host) run(name string, st *start, delay time.Duration) {
	timer := time.NewTimer(max(delay, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		st.inst, st.err = h.start(name)
	case <-h.ctx.Done():
		st.err = closedError(name)
	}
	st.at = time.Now()
	close(st.done)
	if st.err == nil {
		h.attend(name, st.inst)
	}
}

// attend looks after a process to its end, and ends it when it is retired.
func (h *Host) attend(name string, inst *instance) {
	defer inst.close()
	health := time.NewTicker(h.opts.healthInterval)
	defer health.Stop()
	for {
		select {
		case <-inst.proc.gone.Done():
			return
		case <-h.ctx.Done():
			return
		case <-inst.idle:
			return
		case <-health.C:
			h.probe(name, inst)
		}
	}
}

// start makes a process of what the file holds now.
func (h *Host) start(name string) (*instance, error) {
	img, err := h.load(name)
	if err != nil {
		return nil, err
	}
	defer img.close()
	return h.launch(img)
}

// launch makes a process that has answered once.
func (h *Host) launch(img *image) (*instance, error) {
	name, inst := img.name, newInstance(img, &h.opts)
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.startTimeout)
	defer cancel()
	if err := inst.connect(ctx); err != nil {
		expired, exit := ctx.Err(), inst.proc.exitByItself()
		if code := status.Code(err); expired == nil && (code == codes.DeadlineExceeded || code == codes.Canceled) {
			expired = context.DeadlineExceeded // the plugin's clock may be first
		}
		inst.close()
		return nil, h.startError(name, inst, err, expired, exit)
	}
	return inst, nil
}

func (h *Host) startError(name string, inst *instance, err, expired error, exit string) error {
	e := &Error{Plugin: name, Kind: KindStart, Hint: "is it an adapter plugin, built for this machine?"}
	switch {
	case h.ctx.Err() != nil:
		return closedError(name)
	case exit != "":
		e.Message = fmt.Sprintf("cannot start: it ended (%s) before it answered", exit)
	case expired != nil:
		e.Message, e.cause = fmt.Sprintf("cannot start: no answer within %v", h.opts.startTimeout), expired
	default:
		e.Message = "cannot start: " + clean(err.Error(), maxMessage)
	}
	if said := clean(string(inst.stderr.buf), tailSize); said != "" {
		e.Message += "; it said: " + said
	}
	return e
}
