package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// echo plans what it was asked, or fails with err.
type echo struct{ err error }

func (e echo) Describe(context.Context) (Description, error) {
	return Description{Type: "echo", Version: "1", Schema: json.RawMessage(`{}`)}, e.err
}

func (e echo) Plan(_ context.Context, r PlanRequest) (Plan, error) {
	return Plan{
		Argv:  []string{r.AgentID, r.AgentName, r.CompanyID, r.RunID, r.Trigger, strings.Join(r.SecretNames, ",")},
		Dir:   "/",
		Env:   r.Env,
		Stdin: r.Config,
	}, e.err
}

func TestEveryFieldTravels(t *testing.T) {
	s := &server{adapter: echo{}}
	reply, err := s.Plan(context.Background(), &adapterpb.PlanRequest{
		AgentId: "agent", AgentName: "name", CompanyId: "company", RunId: "run", Trigger: "timer",
		Config: []byte(`{"a":1}`), Env: map[string]string{"A": "1"}, SecretNames: []string{"S", "T"}})
	if err != nil {
		t.Fatal(err)
	}
	p := reply.GetPlan()
	got := fmt.Sprintln(p.GetArgv(), p.GetDir(), p.GetEnv(), string(p.GetStdin()))
	if want := `[agent name company run timer S,T] / map[A:1] {"a":1}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d, err := s.Describe(context.Background(), nil)
	if err != nil || d.GetType() != "echo" || d.GetVersion() != "1" || string(d.GetSchema()) != "{}" {
		t.Errorf("%v %v", d, err)
	}
}

// tester is an echo that finds what it was asked, or fails with err.
type tester struct{ echo }

func (e tester) TestEnvironment(_ context.Context, r EnvironmentRequest) ([]Check, error) {
	text := fmt.Sprint(r.AgentID, r.AgentName, r.CompanyID, string(r.Config), r.Env, r.SecretNames)
	return []Check{{Level: LevelWarn, Field: "f", Message: text, Hint: "h"}}, e.err
}

func TestEnvironmentTravels(t *testing.T) {
	request := &adapterpb.TestEnvironmentRequest{AgentId: "agent", AgentName: "name", CompanyId: "company",
		Config: []byte(`{}`), Env: map[string]string{"A": "1"}, SecretNames: []string{"S"}}
	s := &server{adapter: tester{echo{err: errors.Join(&Problem{Field: "cwd", Message: "is missing"}, errors.New("a"))}}}
	reply, err := s.TestEnvironment(context.Background(), request)
	got := ""
	for _, c := range reply.GetChecks() {
		got += fmt.Sprintf("%s|%s|%s|%s;", c.GetLevel(), c.GetField(), c.GetMessage(), c.GetHint())
	}
	if want := "warn|f|agentnamecompany{}map[A:1] [S]|h;error|cwd|is missing|;error||a|;"; err != nil || got != want {
		t.Errorf("got %s, want %s, %v", got, want, err)
	}
	s = &server{adapter: tester{}}
	if d, err := s.Describe(context.Background(), nil); err != nil || strings.Join(d.GetCan(), " ") != CanTestEnvironment {
		t.Errorf("can %v, %v", d, err)
	}
	s = &server{adapter: echo{}}
	if _, err := s.TestEnvironment(context.Background(), request); status.Code(err) != codes.Unimplemented {
		t.Errorf("of an adapter without it: %v", err)
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	problem := &Problem{Field: "cwd", Message: "is missing", Hint: "give one"}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"problem": {problem, "cwd|is missing|give one;"},
		"other":   {fmt.Errorf("cannot think: %w", problem), "|cannot think: cwd: is missing|;"},
		"joined":  {errors.Join(problem, errors.Join(errors.New("a"), problem)), "cwd|is missing|give one;|a|;cwd|is missing|give one;"},
	} {
		s := &server{adapter: echo{err: test.err}}
		p, err := s.Plan(context.Background(), &adapterpb.PlanRequest{})
		if err != nil || p.GetPlan() != nil {
			t.Errorf("%s: plan %v, %v", name, p, err)
		}
		d, err := s.Describe(context.Background(), nil)
		if err != nil || d.GetType() != "" {
			t.Errorf("%s: description %v, %v", name, d, err)
		}
		if got := flat(p.GetProblems()); got != test.want || flat(d.GetProblems()) != got {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	_, err := guard(context.Background(), nil, nil, grpc.UnaryHandler(func(context.Context, any) (any, error) {
		panic("as told")
	}))
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "the adapter panicked: as told") {
		t.Error(err)
	}
}

func flat(list []*adapterpb.Problem) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s|%s|%s;", p.GetField(), p.GetMessage(), p.GetHint())
	}
	return b.String()
}
