package target

// Memory is the memory of the server's processes, as the system counts it: of what processes share,
// each has its part. ok is false if they are not known.
func (t *Target) Memory() (octets int64, ok bool, err error) {
	if t.PID == 0 {
		return 0, false, nil
	}
	own, err := readStat(t.PID)
	if err != nil {
		return 0, false, err
	}
	others, err := descendants(t.PID)
	if err != nil {
		return 0, false, err
	}
	octets = own.proportional()
	for _, p := range others {
		octets += p.proportional()
	}
	return octets, true, nil
}
