// Package e2e holds tests of the whole: the real daemon, stage, plugin and
// control plane as processes, and attackers around them. There is no other
// code here.
package e2e
