package wire

// A Part is a piece of an object that does not fit one message.
type Part struct {
	Total  uint32 // length of the object, at most MaxStored
	Offset uint32 // of the part
	Bytes  []byte // at most MaxObject; ends within Total
}

func (p *Part) append(b []byte) []byte {
	b = appendUint32(b, p.Total)
	b = appendUint32(b, p.Offset)
	return appendBytes(b, p.Bytes)
}

// part reads a Part. Its Bytes alias the input.
func (r *reader) part() Part {
	p := Part{Total: r.uint32(), Offset: r.uint32()}
	p.Bytes = r.bytes(MaxObject)
	if p.Total > MaxStored {
		r.fail(ErrCount)
	}
	r.check(uint64(p.Offset)+uint64(len(p.Bytes)) <= uint64(p.Total))
	return p
}

// PartOf returns the part of an object from an offset on, which must lie in it.
func PartOf(object []byte, offset int) Part {
	rest := object[offset:]
	return Part{uint32(len(object)), uint32(offset), rest[:min(len(rest), MaxObject)]}
}
