package plugins

import "os"

// Program is a plugin that is to be started.
type Program struct {
	Name      string   // its adapter type
	Path      string   // absolute, of its file
	File      *os.File // what was checked, sealed in memory, to be executed in place of Path; nil: a script
	Env       []string // NAME=value: go-plugin's own variables
	SocketDir string   // the directory, ours, in which it makes its socket

	Stdout, Stderr *os.File // what it prints to; closed by the host
}

// Process is a plugin that was started, with all that it started itself.
type Process struct {
	PID   int
	User  string // who it runs as, for people
	Level string // what confines it, for people

	Kill func()          // ends all of it at once; may return before that
	Done <-chan struct{} // closed when nothing of it lives
	Exit func() string   // after Done: how it ended, as in "exit status 1"; empty: as it was told
}
