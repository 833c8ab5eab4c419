package launcher

// watch begins to watch adapter files and plugins.
func (d *Daemon) watch() (err error) {
	if d.watcher, err = newWatcher(".json"); err != nil {
		return err
	}
	if d.programs, err = newWatcher(""); err != nil {
		d.watcher.close()
		return err
	}
	d.programs.follow(d.world.Load().cfg.PluginsDir)
	return nil
}

// followPlugins lets new versions of plugins serve as soon as their files are
// there. It is not part of the main loop, because a plugin may take its time
// to start. The function that it returns ends it, without a wait for a plugin
// that is starting: its host does that.
func (d *Daemon) followPlugins() (end func()) {
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-d.programs.changed:
				w := d.world.Load()
				d.programs.follow(w.cfg.PluginsDir) // before reading: a change between the two is seen again
				w.plugins.Refresh()
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		d.programs.close()
	}
}
