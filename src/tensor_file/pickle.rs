//! Pickle reader for the few opcodes and names that files of tensors need. Nothing is ever called: a
//! name outside the table, or an opcode beyond these, is refused.
//!
//! Not candle's reader: it allocates the lengths that the file claims before it reads.

use std::rc::Rc;

use super::StoredDtype;
use super::globals::{GLOBALS, Global};

/// A value. Containers are stored in the heap, so that neither cycles nor depth matter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Whole(i64),
    Real(f64),
    Text(Rc<str>),
    /// Index of the object in the heap.
    Object(usize),
    Global(usize),
    Mark,
}

/// An object in the heap.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// A list, a tuple or a set.
    Sequence(Vec<Value>),
    /// A dictionary, or an object with fields.
    Table {
        rows: Vec<(Value, Value)>,
        /// True if fields that are set later are kept; those of a plain dictionary are not.
        keeps_fields: bool,
    },
    /// A storage: its data type, and the name of its member in the archive.
    StoredDtype(StoredDtype, Rc<str>),
    Tensor(Tensor),
}

/// A tensor over a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) storage: StoredDtype,
    /// Name of the storage.
    pub(super) key: Rc<str>,
    /// Index of the tensor's first element in the storage.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A pickle as it was read.
pub(super) struct Pickle {
    pub(super) root: Value,
    pub(super) heap: Vec<Object>,
}

impl Pickle {
    /// Returns true if the object has content.
    pub(super) fn holds(&self, number: usize) -> bool {
        match self.heap.get(number) {
            Some(Object::Sequence(items)) => !items.is_empty(),
            Some(Object::Table { rows, .. }) => !rows.is_empty(),
            Some(Object::StoredDtype(..) | Object::Tensor(_)) => true,
            None => false,
        }
    }
}

/// More axes than any tensor has.
const MAX_AXES: usize = 16;

/// Error message about a pickle.
type Fault = String;

/// Reads a pickle.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, Fault> {
    let mut machine = Machine {
        rest: bytes,
        stack: Vec::new(),
        memo: Vec::new(),
        heap: Vec::new(),
    };
    while machine.step()? == Step::Next {}
    let root = machine.pop()?;
    Ok(Pickle {
        root,
        heap: machine.heap,
    })
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    memo: Vec<Value>,
    heap: Vec<Object>,
}

#[derive(PartialEq)]
enum Step {
    Next,
    Stop,
}

impl Machine<'_> {
    fn step(&mut self) -> Result<Step, Fault> {
        let code = self.byte()?;
        match code {
            b'.' => return Ok(Step::Stop),
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.stack.push(Value::Mark),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.stack.last().cloned().ok_or_else(unbalanced)?;
                self.stack.push(top);
            }
            b'q' | b'r' | 0x94 => self.memorise(code)?,
            b'h' | b'j' => self.recall(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'Q' => self.persistent()?,
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b'}' | b']' | b')' | b't' | 0x85..=0x87 | b'l' | b'd' | 0x8f => self.container(code)?,
            b's' | b'u' | b'a' | b'e' | 0x90 => self.fill(code)?,
            _ => self.scalar(code)?,
        }
        Ok(Step::Next)
    }

    /// Reads numbers, texts and constants.
    fn scalar(&mut self, code: u8) -> Result<(), Fault> {
        let value = match code {
            b'N' => Value::None,
            0x88 => Value::Whole(1),
            0x89 => Value::Whole(0),
            b'J' => Value::Whole(i64::from(self.number(4)? as u32 as i32)),
            b'K' => Value::Whole(self.number(1)? as i64),
            b'M' => Value::Whole(self.number(2)? as i64),
            0x8a => Value::Whole(self.long()?),
            b'G' => Value::Real(f64::from_bits(self.number(8)?.swap_bytes())),
            b'X' | b'T' | b'B' => self.text(4)?,
            0x8c | b'U' | b'C' => self.text(1)?,
            0x8d => self.text(8)?,
            other => {
                return Err(format!(
                    "uses opcode {other:#04x}, which no file of tensors needs"
                ));
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// Reads an integer of any length; `i64::MAX` for one that 64 bits do not hold.
    fn long(&mut self) -> Result<i64, Fault> {
        let length = self.byte()? as usize;
        let bytes = self.take(length)?;
        if length > 8 {
            return Ok(i64::MAX);
        }
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let start = if negative { -1i64 } else { 0 };
        Ok(bytes
            .iter()
            .rev()
            .fold(start, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// Reads a text after its length of `size` bytes. Data that is not UTF-8 becomes an empty text.
    fn text(&mut self, size: usize) -> Result<Value, Fault> {
        let length = self.number(size)?;
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Value::Text(
            std::str::from_utf8(bytes).unwrap_or_default().into(),
        ))
    }

    fn memorise(&mut self, code: u8) -> Result<(), Fault> {
        let place = match code {
            b'q' => self.number(1)? as usize,
            b'r' => self.number(4)? as usize,
            _ => self.memo.len(),
        };
        // Python numbers the memo entries consecutively.
        let top = self.stack.last().cloned().ok_or_else(unbalanced)?;
        match place.cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[place] = top,
            std::cmp::Ordering::Equal => self.memo.push(top),
            std::cmp::Ordering::Greater => {
                return Err(format!("remembers a value under number {place}"));
            }
        }
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), Fault> {
        let place = self.number(if code == b'h' { 1 } else { 4 })? as usize;
        let value = self
            .memo
            .get(place)
            .cloned()
            .ok_or_else(|| format!("recalls unknown value {place}"))?;
        self.stack.push(value);
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), Fault> {
        let (module, name): (Rc<str>, Rc<str>) = if code == b'c' {
            (self.line()?.into(), self.line()?.into())
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (module, name) {
                (Value::Text(module), Value::Text(name)) => (module, name),
                _ => return Err("names something by what is no text".to_owned()),
            }
        };
        let found = GLOBALS
            .iter()
            .position(|row| row.0 == &*module && row.1 == &*name);
        let number = found.ok_or_else(|| {
            format!("calls for `{module}.{name}`, which no file of tensors needs")
        })?;
        self.stack.push(Value::Global(number));
        Ok(())
    }

    /// Persistent id of a storage: `("storage", type, member, device, count)`.
    fn persistent(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let storage = match self.sequence(&id) {
            Some(
                [
                    Value::Text(kind),
                    Value::Global(global),
                    Value::Text(key),
                    ..,
                ],
            ) if &**kind == "storage" => {
                let Global::Numbers(storage) = GLOBALS[*global].2 else {
                    return Err(format!("keeps numbers in `{}`", GLOBALS[*global].1));
                };
                Object::StoredDtype(storage, key.clone())
            }
            _ => return Err("refers to something outside that is no storage".to_owned()),
        };
        self.allot(storage);
        Ok(())
    }

    /// Interprets a call by the function's name and arguments; nothing is called.
    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(global) = function else {
            return Err("calls what is no function".to_owned());
        };
        let arguments = self.sequence(&arguments).unwrap_or_default();
        match GLOBALS[global].2 {
            Global::Tensor => {
                let tensor = self
                    .tensor(arguments)
                    .ok_or("makes a tensor of what is none")?;
                self.allot(Object::Tensor(tensor));
            }
            Global::TypedTensor => {
                let tensor = self
                    .typed_tensor(arguments)
                    .ok_or("makes a tensor of what is none")?;
                self.allot(Object::Tensor(tensor));
            }
            Global::Wrapper => {
                let inner = arguments.first().cloned().unwrap_or(Value::None);
                self.stack.push(inner);
            }
            Global::Dictionary => self.allot(Object::Table {
                rows: Vec::new(),
                keeps_fields: false,
            }),
            Global::Inert => self.allot(Object::Table {
                rows: Vec::new(),
                keeps_fields: true,
            }),
            Global::Numbers(_) | Global::Type(_) => {
                return Err(format!("calls `torch.{}`", GLOBALS[global].1));
            }
        }
        Ok(())
    }

    /// Tensor from the arguments `(storage, offset, shape, strides, ...)`.
    fn tensor(&self, arguments: &[Value]) -> Option<Tensor> {
        let [
            Value::Object(storage),
            Value::Whole(offset),
            shape,
            strides,
            ..,
        ] = arguments
        else {
            return None;
        };
        let Object::StoredDtype(storage, key) = self.heap.get(*storage)? else {
            return None;
        };
        let whole = |value: &Value| {
            let Value::Whole(number) = value else {
                return None;
            };
            usize::try_from(*number).ok()
        };
        let numbers = |value| {
            self.sequence(value)?
                .iter()
                .map(whole)
                .collect::<Option<Vec<_>>>()
        };
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        let offset = usize::try_from(*offset).ok()?;
        let same = shape.len() == strides.len() && shape.len() <= MAX_AXES;
        same.then(|| Tensor {
            storage: *storage,
            key: key.clone(),
            offset,
            shape,
            strides,
        })
    }

    /// Tensor from the arguments `(storage, offset, shape, strides, ..., type)`.
    fn typed_tensor(&self, arguments: &[Value]) -> Option<Tensor> {
        let Value::Global(global) = arguments.get(6)? else {
            return None;
        };
        let Global::Type(storage) = GLOBALS[*global].2 else {
            return None;
        };
        Some(Tensor {
            storage,
            ..self.tensor(arguments)?
        })
    }

    /// Adds fields to an object, under the key `None`. Those of a dictionary are dropped: they
    /// belong to its class alone.
    fn build(&mut self) -> Result<(), Fault> {
        let fields = self.pop()?;
        if let Some(Value::Object(number)) = self.stack.last()
            && let Some(Object::Table {
                rows,
                keeps_fields: true,
            }) = self.heap.get_mut(*number)
        {
            rows.push((Value::None, fields));
        }
        Ok(())
    }

    fn container(&mut self, code: u8) -> Result<(), Fault> {
        let values = match code {
            0x85..=0x87 => {
                let start = self
                    .stack
                    .len()
                    .checked_sub((code - 0x84) as usize)
                    .ok_or_else(unbalanced)?;
                self.stack.split_off(start)
            }
            b't' | b'l' | b'd' => self.marked()?,
            _ => Vec::new(),
        };
        let object = match code {
            b'}' | b'd' => Object::Table {
                rows: pairs(values)?,
                keeps_fields: false,
            },
            _ => Object::Sequence(values),
        };
        self.allot(object);
        Ok(())
    }

    fn fill(&mut self, code: u8) -> Result<(), Fault> {
        let values = match code {
            b's' => {
                let start = self.stack.len().checked_sub(2).ok_or_else(unbalanced)?;
                self.stack.split_off(start)
            }
            b'a' => vec![self.pop()?],
            _ => self.marked()?,
        };
        let Some(Value::Object(number)) = self.stack.last() else {
            return Err(unbalanced());
        };
        match (code, self.heap.get_mut(*number)) {
            (b's' | b'u', Some(Object::Table { rows, .. })) => rows.extend(pairs(values)?),
            (b'a' | b'e' | 0x90, Some(Object::Sequence(items))) => items.extend(values),
            _ => return Err("fills what is no container".to_owned()),
        }
        Ok(())
    }

    fn allot(&mut self, object: Object) {
        self.stack.push(Value::Object(self.heap.len()));
        self.heap.push(object);
    }

    fn sequence(&self, value: &Value) -> Option<&[Value]> {
        let Value::Object(number) = value else {
            return None;
        };
        match self.heap.get(*number)? {
            Object::Sequence(values) => Some(values),
            Object::Table { .. } | Object::StoredDtype(..) | Object::Tensor(_) => None,
        }
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        self.stack
            .pop()
            .filter(|value| !matches!(value, Value::Mark))
            .ok_or_else(unbalanced)
    }

    /// Pops the values above the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self
            .stack
            .iter()
            .rposition(|value| matches!(value, Value::Mark))
            .ok_or_else(unbalanced)?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        self.rest
            .split_off(..count)
            .ok_or_else(|| "ends early".to_owned())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, size: usize) -> Result<u64, Fault> {
        let bytes = self.take(size)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&str, Fault> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("ends early")?;
        let line = std::str::from_utf8(&self.take(end + 1)?[..end])
            .map_err(|_| "has a name that is no text")?;
        Ok(line)
    }
}

fn unbalanced() -> Fault {
    "takes a value where there is none".to_owned()
}

fn pairs(values: Vec<Value>) -> Result<Vec<(Value, Value)>, Fault> {
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(key) = values.next() {
        pairs.push((key, values.next().ok_or_else(unbalanced)?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> String {
        read(bytes).err().unwrap()
    }

    #[test]
    fn nothing_is_called_and_strange_names_are_refused() {
        let attack = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00lsla\x85R.";
        assert!(
            fault(attack).contains("`posix.system`"),
            "{}",
            fault(attack)
        );
        let attack = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.";
        assert!(fault(attack).contains("`os.system`"), "{}", fault(attack));
        assert!(fault(b"\x80\x02c__builtin__\neval\n.").contains("`__builtin__.eval`"));
        assert!(fault(b"ios\nsystem\n.").contains("opcode 0x69"));
        assert!(
            fault(b"\x80\x02X\x01\x00\x00\x00aX\x01\x00\x00\x00b\x85R.").contains("no function")
        );
    }

    #[test]
    fn damaged_pickles_are_refused() {
        for bytes in [
            &b""[..],
            b"\x80",
            b"R.",
            b"(",
            b".",
            b"(.",
            b"t.",
            b"h\x00.",
            b"Nr\xff\xff\xff\xff.",
            b"Ns.",
            b"X\xff\xff\xff\xffab",
            b"NNs.",
            b"}(Nu.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
            b"cos",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn depth_and_cycles_do_no_harm() {
        let deep = [vec![b')'; 1], vec![0x85; 1 << 20], vec![b'.']].concat();
        assert!(read(&deep).is_ok());
        assert!(read(b"]q\x00h\x00a.").is_ok());
    }
}
