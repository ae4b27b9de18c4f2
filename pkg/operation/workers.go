package operation

import "sync"

// workers run functions side by side, each at once. A goroutine that is done waits for the next function: its stack has grown
// already, which costs as much as many a function does.
type workers struct {
	next    chan func()
	idle    chan struct{} // bounds those that wait
	running sync.WaitGroup
	end     chan struct{}
}

const mostIdle = 256

func newWorkers() *workers {
	return &workers{next: make(chan func()), idle: make(chan struct{}, mostIdle), end: make(chan struct{})}
}

// do runs a function in a goroutine.
func (w *workers) do(f func()) {
	w.running.Add(1)
	select {
	case w.next <- f:
	default:
		go w.work(f)
	}
}

func (w *workers) work(f func()) {
	for f != nil {
		f()
		w.running.Done()
		f = w.await()
	}
}

// await gives the next function; nil where enough others wait for it, or at the end.
func (w *workers) await() func() {
	select {
	case w.idle <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-w.idle }()
	select {
	case f := <-w.next:
		return f
	case <-w.end:
		return nil
	}
}

// wait returns when every function has ended, and ends the goroutines. Nothing may be run after it.
func (w *workers) wait() {
	w.running.Wait()
	close(w.end)
}
