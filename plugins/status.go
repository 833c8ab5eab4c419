package plugins

// Status is a plugin at a glance.
type Status struct {
	Type   string
	PID    int    // 0: it does not run
	User   string // who it runs as; this and what follows: of what runs
	Level  string // what confines it
	SHA256 string // of its program, in hex
	Pinned bool
	Fault  string // why it does not run, or why the new version of its file does not
}

// Status tells of every plugin that has a file, by name.
func (h *Host) Status() ([]Status, error) {
	types, err := h.Types()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Status, len(types))
	for i, name := range types {
		_, pinned := h.opts.Pins[name]
		out[i] = Status{Type: name, Pinned: pinned}
		if s := h.slots[name]; s != nil {
			s.status(&out[i])
		}
	}
	return out, nil
}

// status fills in what is known of the process.
func (s *slot) status(st *Status) {
	select {
	case <-s.cur.done:
	default:
		return // it is starting
	}
	fault := s.cur.err
	if s.cur.up() {
		p := s.cur.inst.proc.proc
		st.PID, st.User, st.Level, st.SHA256 = p.PID, p.User, p.Level, hexOf(s.cur.inst.sum)
		fault = s.fault
	}
	if fault != nil {
		st.Fault = fault.Error()
	}
}
