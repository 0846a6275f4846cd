package workload

// Failure says which workload ended a run. Those after it have not run.
type Failure struct {
	Workload string
	Err      error
}

func (f *Failure) Error() string { return f.Workload + ": " + f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }
