package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"syscall"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

type obey struct{ name string }

func (o obey) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: "obey", Version: "1\x1b[0m", Schema: json.RawMessage(`{"type":"object"}`)}, nil
}

// command is the configuration.
type command struct {
	Do   string
	Plan adapter.Plan // what to answer
}

func (o obey) Plan(ctx context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	var c command
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return adapter.Plan{}, err
	}
	switch c.Do {
	case "answer":
		return c.Plan, nil
	case "hang":
		forever()
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		forever() // a thread may get this far
	case "crash":
		os.Exit(7)
	case "panic":
		panic("as told")
	case "big":
		return adapter.Plan{Argv: []string{"/bin/true"}, Dir: "/", Stdin: make([]byte, 100<<20)}, nil
	case "problems":
		return adapter.Plan{}, errors.Join(
			&adapter.Problem{Field: "model", Message: "is missing", Hint: "name\none"}, errors.New("and\x00so on"))
	case "print":
		fmt.Println("to stdout")
		fmt.Fprint(os.Stderr, "to std", "err\x1b\n")
		log.SetFlags(0)
		log.SetOutput(os.NewFile(2, "stderr"))
		log.Print("[WARN] to the log")
	case "look":
		return look()
	case "fork":
		return fork(false)
	case "escape":
		return fork(true)
	}
	return adapter.Plan{Argv: []string{strconv.Itoa(os.Getpid())}, Dir: "/"}, nil
}

// TestEnvironment answers as Plan does.
func (o obey) TestEnvironment(ctx context.Context, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	var c command
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return nil, err
	}
	switch c.Do {
	case "level":
		return []adapter.Check{{Level: "fatal", Message: "x"}}, nil
	case "many":
		checks := make([]adapter.Check, 1000)
		for i := range checks {
			checks[i] = adapter.Check{Level: adapter.LevelInfo, Field: "a\nb", Hint: "\x1b[0m"}
		}
		return checks, nil
	}
	_, err := o.Plan(ctx, adapter.PlanRequest{Config: r.Config})
	return nil, err
}

// look answers with what the plugin can see: environment, descriptors, working
// directory.
func look() (adapter.Plan, error) {
	dir, err := os.Getwd()
	plan := adapter.Plan{Argv: append([]string{"look"}, os.Environ()...), Dir: dir, Env: map[string]string{}}
	entries, err2 := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			plan.Env["fd_"+e.Name()] = target
		}
	}
	return plan, errors.Join(err, err2)
}
