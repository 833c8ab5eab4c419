package launcher

import "github.com/agent-launcher/agent-launcher/sandbox/tree"

// IsAgent tells agents from operators, see control.Daemon: an agent has a uid of
// the range, or lives below the keeper. Without a keeper no agent runs.
func (d *Daemon) IsAgent(fd int, uid uint32) bool {
	if r := d.world.Load().cfg.UIDRange; r != nil && uid >= r.First && uid <= r.Last {
		return true
	}
	k := d.keeper.last.Load()
	return k != nil && alive(k) && tree.Peer(fd, func(pid int) bool { return pid == k.PID() })
}
