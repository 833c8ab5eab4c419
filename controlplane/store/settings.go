package store

// Setting reads a named setting of the data as a whole.
func (t *Tx) Setting(name string) ([]byte, error) {
	return one(t, scalar[[]byte], "SELECT value FROM settings WHERE name = ?", name)
}

// AddSetting writes a setting once. ErrExists: there is one.
func (t *Tx) AddSetting(name string, value []byte) error {
	return t.exec("INSERT INTO settings (name, value) VALUES (?, ?)", name, value)
}
