package database

import "testing"

func TestCompressorIn(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "block_compressor=zstd": "zstd", "allocation_size=4KB, block_compressor=none": "none",
		"internal_page_max=4KB": "",
	} {
		if got := compressorIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
