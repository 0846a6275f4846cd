package bench

import "gadwall/internal/contents"

// Class is a sort of bytes of a message.
type Class = contents.Class

// The classes, in the order of reports.
const (
	Headers  = contents.ClassHeaders
	Text     = contents.ClassText
	HTML     = contents.ClassHTML
	Images   = contents.ClassImages
	Office   = contents.ClassOffice
	PDF      = contents.ClassPDF
	Archives = contents.ClassArchives
	Other    = contents.ClassOther
)

// Classes has all classes, in the order of reports.
var Classes = contents.Classes

// ClassOf returns the class of the body of a part by its media type. An empty media type stands for
// the bytes between bodies.
func ClassOf(mediaType string) Class { return contents.ClassOf(mediaType) }
