package casemap

import "unicode"

// Invisible reports a character that is shown as nothing where it has no effect on
// its neighbours: the property Default_Ignorable_Code_Point of Unicode. The soft
// hyphen, zero-width characters, marks of direction and variation selectors are such.
func Invisible(r rune) bool {
	switch {
	case r == 0xad:
		return true
	case r < 0x34f:
		return false
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r):
		return true
	case !unicode.Is(unicode.Cf, r):
		return false
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r),
		0xfff9 <= r && r <= 0xfffb,   // interlinear annotation
		0x13430 <= r && r <= 0x1343f: // Egyptian hieroglyph format controls
		return false
	}
	return true
}
