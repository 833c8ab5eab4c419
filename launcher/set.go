package launcher

import (
	"context"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// set is all agents of the daemon, by the name of their adapter file.
type set struct {
	d   *Daemon
	ctx context.Context // of every loop; set before the first apply
	wg  sync.WaitGroup
	ids *ids

	mu       sync.Mutex
	agents   map[string]*agent
	adopted  map[string][]*adoption // by agent id, for agents that have not started yet
	problems []string
}

func newSet(d *Daemon) *set {
	return &set{d: d, ids: newIDs(), agents: map[string]*agent{}, adopted: map[string][]*adoption{}}
}

// apply makes the set what the adapter files say. A file with a problem keeps
// the last good configuration of that one agent; a file that is gone retires
// its agent; unchanged agents notice nothing.
func (s *set) apply(dir string, good []*config.Agent, problems config.Problems, t Trigger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil { // the daemon stops
		return
	}
	s.problems = nil
	faults := byFile(problems)
	keep := map[string]bool{}
	for file, problem := range faults {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if file == dir || s.live(name) == nil {
			s.problems = append(s.problems, problem)
			continue
		}
		keep[name] = true
		s.agents[name].fault(problem)
	}
	for _, cfg := range s.newcomers(good, keep) {
		keep[cfg.Name] = true
		if a := s.agents[cfg.Name]; a == nil || !a.update(cfg, t) {
			s.start(cfg, t)
		}
	}
	sort.Strings(s.problems)
	if _, unread := faults[dir]; unread { // nothing is known of its files
		return
	}
	for name, a := range s.agents {
		if !keep[name] {
			a.retire()
		}
	}
}

// newcomers leaves out of good, and notes as problems, the configurations with
// the id of an agent whose last good state holds: those to keep, and those left
// out here. A copy of a file is refused so, even one that sorts before it.
func (s *set) newcomers(good []*config.Agent, keep map[string]bool) []*config.Agent {
	files := map[string]string{} // by the ids that are taken
	for name := range keep {
		id, file := s.agents[name].identity()
		files[id] = file
	}
	for n := -1; n != len(good); {
		n = len(good)
		good = slices.DeleteFunc(slices.Clone(good), func(cfg *config.Agent) bool {
			file := files[cfg.ID]
			if file == "" {
				return false
			}
			problem := cfg.Problem("$.id", "the same agent as in "+file+", whose last good state holds", "").Error()
			if a := s.live(cfg.Name); a != nil {
				keep[cfg.Name] = true
				a.fault(problem)
				id, file := a.identity()
				files[id] = file
			} else {
				s.problems = append(s.problems, problem)
			}
			return true
		})
	}
	return good
}

// byFile joins the errors of each file; warnings keep no agent from running.
func byFile(problems config.Problems) map[string]string {
	out := map[string]string{}
	for _, p := range problems {
		if p.Warning {
			continue
		}
		if out[p.File] != "" {
			out[p.File] += "\n"
		}
		out[p.File] += p.Error()
	}
	return out
}

// live returns the agent of that name unless its loop has ended.
func (s *set) live(name string) *agent {
	a := s.agents[name]
	if a == nil || a.hasEnded() {
		return nil
	}
	return a
}

func (s *set) start(cfg *config.Agent, t Trigger) {
	for name, other := range s.agents {
		if other.hasEnded() {
			delete(s.agents, name)
		}
	}
	a := newAgent(s.d, cfg)
	s.agents[cfg.Name] = a
	adopted := s.adopted[cfg.ID]
	delete(s.adopted, cfg.ID)
	s.wg.Go(func() { a.loop(s.ctx, adopted) })
	if t != TriggerTimer {
		a.trigger(t)
	}
}

// get returns the agent of that name, or nil.
func (s *set) get(name string) *agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(name)
}

// list returns all live agents by name, and the problems of files that make none.
func (s *set) list() ([]*agent, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*agent, 0, len(s.agents))
	for name := range s.agents {
		if a := s.live(name); a != nil {
			out = append(out, a)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out, append([]string{}, s.problems...)
}

func (s *set) size() int {
	agents, _ := s.list()
	return len(agents)
}

// wait returns when every loop has ended.
func (s *set) wait() { s.wg.Wait() }

// fault notes that the agent's file has a problem. The agent goes on as it was.
func (a *agent) fault(problem string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.configErr = problem
}

func (a *agent) hasEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// identity is the agent's id, and the file that it is from.
func (a *agent) identity() (id, file string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.ID, a.cfg.File
}
