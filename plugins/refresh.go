package plugins

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Refresh looks at the files of all plugins that were used. A new version is
// started beside the old one; once it has said what it is, it serves the next
// call, and the old one ends after its last. One that is broken changes
// nothing, and Status says why. A plugin whose file is gone ends after its
// last call. Refresh returns when all of that is decided, and is best called
// whenever something in Dir has changed.
func (h *Host) Refresh() {
	h.mu.Lock()
	if h.ctx.Err() != nil {
		h.mu.Unlock()
		return
	}
	h.wg.Add(1)
	defer h.wg.Done()
	last := make(map[string]*start)
	for name, s := range h.slots {
		s.pause.Reset() // a version that was mended need not wait
		last[name] = s.cur
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	for name, st := range last {
		wg.Go(func() { h.refresh(name, st) })
	}
	wg.Wait()
}

func (h *Host) refresh(name string, old *start) {
	select {
	case <-old.done: // it may have read the file before it changed
	case <-h.ctx.Done():
		return
	}
	if !old.up() { // the next start reads the file anyway
		return
	}
	inst, err := h.successor(name, old.inst)
	say := Entry{Plugin: name, Level: "info"}
	var e *Error
	switch gone := errors.As(err, &e) && e.Kind == KindUnknown; {
	case gone || inst != nil:
		if !h.replace(name, old, inst) {
			return
		}
		if say.Message = "its file is gone: it ends after its last call"; inst != nil {
			say.Message, say.Fields = "a new version serves", map[string]string{"sha256": hexOf(inst.sum)}
		}
	case h.setFault(name, old, err):
		say.Level, say.Message = "warn", "the new version of its file does not serve, the old one goes on: "+err.Error()
	default:
		return
	}
	h.opts.Log(say)
}

// successor starts what the file holds now; nil if that is what runs.
func (h *Host) successor(name string, old *instance) (*instance, error) {
	img, err := h.load(name)
	if err != nil {
		return nil, err
	}
	defer img.close()
	if img.sum == old.sum {
		return nil, nil
	}
	inst, err := h.launch(img)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.startTimeout)
	defer cancel()
	if _, err := describe(ctx, name, inst); err != nil {
		inst.close()
		return nil, err
	}
	return inst, nil
}

// replace puts inst, or nothing, where old was; false: something else is there
// by now.
func (h *Host) replace(name string, old *start, inst *instance) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[name]
	if h.ctx.Err() != nil || s == nil || s.cur != old {
		if inst != nil {
			h.wg.Go(inst.close)
		}
		return false
	}
	old.inst.retire()
	if inst == nil {
		delete(h.slots, name)
		return true
	}
	s.fault = nil
	s.cur = &start{done: make(chan struct{}), inst: inst, at: time.Now()}
	close(s.cur.done)
	h.wg.Go(func() { h.attend(name, inst) })
	return true
}

// setFault notes why the file's new version does not serve, if err says so and
// old still does. nil: the file holds what runs.
func (h *Host) setFault(name string, old *start, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[name]
	if h.ctx.Err() != nil || s == nil || s.cur != old {
		return false
	}
	s.fault = err
	return err != nil
}

// enter counts a call; false: another instance serves by now.
func (h *Host) enter(i *instance) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i.retired {
		return false
	}
	i.calls++
	return true
}

// leave ends a call that entered.
func (h *Host) leave(i *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i.calls--; i.retired && i.calls == 0 {
		close(i.idle)
	}
}

// retire ends the instance after its last call. The host's lock is held.
func (i *instance) retire() {
	if i.retired = true; i.calls == 0 {
		close(i.idle)
	}
}
