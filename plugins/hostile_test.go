package plugins

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// Plugins that end or say something wrong have all the time they need for it,
// those that never answer wear out a short patience: no result depends on how
// fast this machine is.
func TestPluginsThatDoNotStart(t *testing.T) {
	talks := newHost(t, func(o *Options) { o.startTimeout, o.CallTimeout = time.Minute, time.Minute })
	silent := newHost(t, func(o *Options) { o.startTimeout, o.CallTimeout = 500*time.Millisecond, time.Minute })
	var wg sync.WaitGroup
	for _, c := range []struct {
		h          *Host
		name, want string
	}{
		{talks, "garbage", "hello, world"},
		{talks, "exit", "it ended (exit status 3) before it answered; it said: cannot find my library"},
		{talks, "tcp", "listens elsewhere"},
		{talks, "elsewhere", "listens elsewhere"},
		{talks, "flood", "cannot start"},
		{talks, "text", "neither a program of this machine"},
		{silent, "silent", "no answer within"},
		{silent, "mute", "no answer within"},
		{silent, "deaf", "no answer within"},
	} {
		wg.Go(func() {
			_, err := c.h.Describe(context.Background(), c.name)
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindStart || e.Plugin != c.name || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 2*maxMessage {
				t.Errorf("%s: error is not fit to show: %q", c.name, err)
			}
		})
	}
	wg.Wait()
	if pids := [2]map[string]int{talks.PIDs(), silent.PIDs()}; len(pids[0])+len(pids[1]) != 0 {
		t.Errorf("still running: %v", pids)
	}
}

func TestCallsThatFail(t *testing.T) {
	h := newHost(t)
	pid := pidOf(t, h, "pid")
	for _, test := range []struct {
		plugin, do string
		kind       Kind
		want       string
	}{
		{"obey", "panic", KindCall, "the adapter panicked: as told"},
		{"obey", "hang", KindCall, "Plan was not answered in time"},
		{"obey", "big", KindAnswer, "above 4194304 bytes"},
		{"big", "", KindAnswer, "above 4194304 bytes"},
		{"big", "describe", KindCall, "the plugin has no Describe"},
	} {
		ctx, cancel := context.Background(), func() {}
		if test.do == "hang" {
			ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
		}
		var err error
		if test.do == "describe" {
			_, err = h.Describe(ctx, test.plugin)
		} else {
			_, err = h.Plan(ctx, test.plugin, do(test.do))
		}
		cancel()
		var e *Error
		if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v", test.plugin, test.do, err)
		}
	}
	if again := pidOf(t, h, "pid"); again != pid {
		t.Errorf("these ended the plugin: %d, then %d", pid, again)
	}
}

// TestNoBroker: go-plugin's broker would let a plugin fill the host's memory.
func TestNoBroker(t *testing.T) {
	h := newHost(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for { // go-plugin opens its one other stream when it gets to it
		plan, err := h.Plan(context.Background(), "streams", do(""))
		if err != nil || len(plan.Argv) > 2 || len(plan.Argv) == 2 && plan.Argv[1] != "/plugin.GRPCStdio/StreamStdio" {
			t.Fatalf("streams: %v %v", plan, err)
		}
		if len(plan.Argv) == 2 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("go-plugin opened no stream at all")
		}
	}
}

func TestProblemsTravel(t *testing.T) {
	h := newHost(t)
	_, err := h.Plan(context.Background(), "obey", do("problems"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 2 {
		t.Fatalf("%v", err)
	}
	first, second := joined.Unwrap()[0].(*Error), joined.Unwrap()[1].(*Error)
	if first.Field != "model" || first.Hint != "name one" || second.Message != "and so on" || second.Kind != KindConfig {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestCrashThenNewProcess(t *testing.T) {
	h := newHost(t)
	pid := pidOf(t, h, "pid")
	for range 3 {
		_, err := h.Plan(context.Background(), "obey", do("crash"))
		if err == nil || !strings.Contains(err.Error(), "the plugin ended (exit status 7) during Plan") {
			t.Errorf("crash: %v", err)
		}
		next := pidOf(t, h, "pid")
		if next == pid {
			t.Errorf("the same process: %d", pid)
		}
		pid = next
	}
}

func TestCrashLoopIsNotHot(t *testing.T) {
	verified := 0
	h := newHost(t, func(o *Options) { o.Open = func(path string) (*os.File, error) { verified++; return os.Open(path) } })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := h.Plan(ctx, "exit", do("")); err == nil {
			t.Fatal("a plugin that exits has planned")
		}
	}
	h.Close()
	// 0, 0.1, 0.3, 0.7 s, with a fifth less for chance
	if verified < 2 || verified > 5 {
		t.Errorf("started %d times in a second", verified)
	}
}

func TestStoppedPluginIsReplaced(t *testing.T) {
	h := newHost(t)
	pid := pidOf(t, h, "pid")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Plan(ctx, "obey", do("stop")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped: %v", err)
	}
	eventually(t, "the stopped plugin is ended", func() bool { return len(h.PIDs()) == 0 })
	if next := pidOf(t, h, "pid"); next == pid {
		t.Errorf("the same process: %d", pid)
	}
}

func TestCallerGivesUp(t *testing.T) {
	h := newHost(t)
	pid := pidOf(t, h, "pid")
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error)
	go func() { _, err := h.Plan(ctx, "obey", do("hang")); answer <- err }()
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if again := pidOf(t, h, "pid"); again != pid {
		t.Errorf("ended: %d, then %d", pid, again)
	}
}

// TestCloseEndsEverything closes under a hung call, a stopped plugin and
// children that hold the plugin's output open. newHost's cleanup has the rest
// of the checks.
func TestCloseEndsEverything(t *testing.T) {
	for _, state := range []string{"hang", "stop", "start"} {
		t.Run(state, func(t *testing.T) {
			h := newHost(t)
			child := pidOf(t, h, "fork")
			answer := make(chan error, 1)
			plugin := "obey"
			if state == "start" {
				plugin = "silent"
			}
			go func() { _, err := h.Plan(context.Background(), plugin, do(state)); answer <- err }()
			if state == "stop" {
				eventually(t, "the plugin is stopped", func() bool { return stopped(h.PIDs()["obey"]) })
			}
			h.Close()
			if err := <-answer; err == nil {
				t.Error("the call under way has succeeded")
			}
			eventually(t, "the child is gone", func() bool { return gone(child) })
		})
	}
}

// TestEscapedChild: a child that left the plugin's session ends with it, and
// nobody waits for it.
func TestEscapedChild(t *testing.T) {
	h := newHost(t)
	child := pidOf(t, h, "escape")
	if _, err := h.Plan(context.Background(), "obey", do("crash")); err == nil {
		t.Error("no crash")
	}
	eventually(t, "the child is gone", func() bool { return gone(child) })
	pidOf(t, h, "pid")
	began := time.Now()
	h.Close()
	if took := time.Since(began); took > closeGrace {
		t.Errorf("Close took %v", took)
	}
}

func TestHugeRequestIsRefused(t *testing.T) {
	h := newHost(t)
	_, err := h.Plan(context.Background(), "obey", adapter.PlanRequest{Config: make([]byte, adapter.MaxMessageSize)})
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindConfig || len(h.PIDs()) != 0 {
		t.Error(err)
	}
}
