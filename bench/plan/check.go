package plan

import "gadwall/bench/result"

// Checked is a forecast beside what a larger run came to.
type Checked struct {
	Name     string
	Unit     Unit
	Forecast Figure
	Measured Figure
}

// Error is by how much the forecast is off, as a share of what was measured.
func (c Checked) Error() float64 { return c.Forecast.Value/c.Measured.Value - 1 }

// Check forecasts what larger lines measured, from the constants of smaller ones, as Plan does. What
// one of both does not have is left out. times is how many times as many mails the larger run has.
func (c *Constants) Check(larger []*result.Line) (list []Checked, times float64, err error) {
	big, err := NewConstants(larger)
	if err != nil {
		return nil, 0, err
	}
	mails, size := Exactly(big.Mails), Exactly(big.MailSize.Value)
	add := func(name string, unit Unit, forecast, measured Figure) {
		if forecast.Known && measured.Known && measured.Value > 0 {
			list = append(list, Checked{name, unit, forecast, measured})
		}
	}
	add("disk", Bytes, mails.Times(c.mailOnDisk(size, big.Duplicates)), mails.Times(big.StoredPerMail))
	texts := func(k *Constants) Figure { return mails.Times(k.TextBytes) }
	files := func(k *Constants) Figure { return mails.Times(k.FileBytes) }
	received := func(f, share Figure) Figure { return f.Times(size).Times(share) }
	own := Exactly(1 - big.FileShare.Value)
	add("headers and texts", Bytes, received(texts(c), own), received(texts(big), own))
	first := Exactly(big.FileShare.Value * (1 - big.Duplicates))
	add("attachments", Bytes, received(files(c), first), received(files(big), first))
	add("all else on disk", Bytes, mails.Times(c.Overhead), mails.Times(big.Overhead))
	add("documents of messages", Bytes, mails.Times(c.MessageBytes), mails.Times(big.MessageBytes))
	add("indexes of messages", Bytes, mails.Times(c.IndexBytes), mails.Times(big.IndexBytes))
	add("indexes by hash", Bytes, mails.Times(c.ByHashBytes), mails.Times(big.ByHashBytes))
	add("deliveries", PerSecond, c.Deliveries, big.Deliveries)
	add("processors of 100 deliveries/s", Number, c.CPU[delivery].Per(Exactly(10)), big.CPU[delivery].Per(Exactly(10)))
	add("memory of the server", Bytes, c.Resident, big.Resident)
	return list, big.Mails / c.Mails, nil
}
