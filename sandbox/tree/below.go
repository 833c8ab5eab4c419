// Package tree finds and kills what hangs below a process, from /proc alone: for
// hosts without a cgroup of ours.
//
// An orphan goes to the nearest ancestor that is a child subreaper. The keeper
// is one, and every agent without a cgroup is one when it starts. So nothing
// leaves the tree below the keeper; but an agent that gives the attribute up,
// or clones with CLONE_PARENT, has children directly below the keeper. What is
// there and is no agent, masker or stage is to be killed.
package tree

// Below returns the pids of all living descendants of root, in no order. A
// zombie is not among them: it is dead and has no children. The error says why
// /proc cannot be read. The answer is a moment's: who forks meanwhile may have
// children that are not in it, and a number can be another's once it is used.
func Below(root int) ([]int, error) {
	var pids []int
	w := walk{root: root, found: func(p process) {
		if p.alive() {
			pids = append(pids, p.pid)
		}
	}}
	_, err := w.do()
	return pids, err
}

// maxDepth bounds a walk upwards: no kernel has more pids, PID_MAX_LIMIT.
const maxDepth = 1 << 22

// Inside reports whether is holds for pid or one of its ancestors.
//
// It asks about numbers. Between the caller's learning pid and this, the
// process may have ended and its number may be a stranger's: hold a pidfd
// (SO_PEERPIDFD, or one opened before) and see afterwards that it has not
// exited. On the way up an ancestor may end: its child then has another one, and
// is asked again. A number that is an ancestor's may be reused before is
// sees it only if is holds for processes that somebody else can reap; so let it
// hold for the caller's own unreaped children alone. A process that we
// may not see, or one that was started into our pid namespace from outside, has no
// ancestors here: the answer is false.
func Inside(pid int, is func(pid int) bool) bool {
	var child process
	for range maxDepth {
		if pid <= 0 {
			return false
		}
		if is(pid) {
			return true
		}
		p, err := read(pid)
		switch {
		case err == nil && (child.pid == 0 || p.start <= child.start):
			child, pid = p, p.ppid
		case child.pid == 0:
			return false
		default: // gone, or a younger process by that number: an ancestor is older
			again, err := read(child.pid)
			if err != nil || again.start != child.start || again.ppid == child.ppid {
				return false
			}
			child, pid = again, again.ppid
		}
	}
	return false
}

// walk is one pass over all processes.
type walk struct {
	root  int
	spare func(pid int) bool // may be nil
	found func(process)      // called as soon as a process is known to be below root

	all   map[int]process
	below map[int]bool // spared ones are false
}

// do reports whether the pass may have missed a process because it lost its
// parent meanwhile.
func (w *walk) do() (unsure bool, err error) {
	w.all, w.below = map[int]process{}, map[int]bool{}
	err = scan(func(p process) {
		w.all[p.pid] = p
		w.join(p)
	})
	if err != nil {
		return false, err
	}
	children := map[int][]process{}
	for _, p := range w.all {
		children[p.ppid] = append(children[p.ppid], p)
		unsure = unsure || w.moved(p)
	}
	// Parents have lower numbers than their children, until numbers wrap around.
	for queue := []int{w.root}; len(queue) > 0; {
		pid := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, p := range children[pid] {
			if w.join(p) {
				queue = append(queue, p.pid)
			}
		}
	}
	return unsure, nil
}

// join adds p if its parent is root or below it, and reports whether p is in.
func (w *walk) join(p process) bool {
	if in, known := w.below[p.pid]; known || p.pid == w.root {
		return in
	}
	if p.ppid != w.root && !w.below[p.ppid] {
		return false
	}
	in := w.spare == nil || !w.spare(p.pid)
	w.below[p.pid] = in
	if in {
		w.found(p)
	}
	return in
}

// moved: p's parent had gone when its turn came, and p has another one now.
func (w *walk) moved(p process) bool {
	if _, known := w.all[p.ppid]; known || p.ppid == 0 {
		return false
	}
	again, err := read(p.pid)
	return err == nil && again.ppid != p.ppid
}
