//! What a tick does to a source cannot be called by a path, either.
//~ cannot find method or associated constant `freeze`

fn main() {
    let bus: tickbus::Bus<u8, 2> = tickbus::Bus::new();
    let mut events = bus.consumer().unwrap();
    <tickbus::Consumer<'_, u8> as tickbus::Source>::freeze(&mut events);
}
