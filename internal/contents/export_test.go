package contents

// SetThresholds makes s cut bodies elsewhere.
func (s *Store) SetThresholds(blob, text int) { s.blobThreshold, s.textThreshold = blob, text }
