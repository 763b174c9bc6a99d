//! Size of a weight change, computed from the shapes of its factors before any tensor is read, for
//! comparison with the weight that it is for.

use super::parts::{Factor, Form, wrong};
use crate::error::Result;

/// Rows and columns of a change laid out as a matrix, and the rank by which its alpha is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) rank: Option<usize>,
}

/// Returns the size of a weight change of this form.
///
/// # Errors
/// Tensors that cannot be multiplied; the message names them and their shapes.
pub(super) fn size<'a>(form: &Form, shape: &dyn Fn(&str) -> Option<&'a [usize]>) -> Result<Size> {
    let shapes = Shapes(shape);
    let size = match form {
        Form::Pair {
            up,
            down,
            core: None,
        } => shapes.product(up, down)?,
        Form::Pair {
            up,
            down,
            core: Some(core),
        } => {
            let (up, down) = (shapes.matrix(up)?, shapes.matrix(down)?);
            shapes.tucker([up[1], up[0]], down, core)?
        }
        Form::Hadamard(factors) => {
            let [a, b] = shapes.both(factors)?;
            if (a.rows, a.columns) != (b.rows, b.columns) {
                return Err(wrong(format!(
                    "multiplies a matrix of {}×{} with one of {}×{}",
                    a.rows, a.columns, b.rows, b.columns
                )));
            }
            a
        }
        Form::Kronecker(factors) => {
            let [left, right] = shapes.both(factors)?;
            let times = |a: usize, b: usize| {
                a.checked_mul(b)
                    .ok_or_else(|| wrong("is absurdly large".into()))
            };
            Size {
                rows: times(left.rows, right.rows)?,
                columns: times(left.columns, right.columns)?,
                rank: right.rank.or(left.rank),
            }
        }
        Form::Whole(name) => {
            let [rows, columns] = shapes.matrix(name)?;
            Size {
                rows,
                columns,
                rank: None,
            }
        }
    };
    Ok(size)
}

/// Lookup of tensor shapes in the file, by name.
struct Shapes<'f, 'a>(&'f dyn Fn(&str) -> Option<&'a [usize]>);

impl<'a> Shapes<'_, 'a> {
    fn shape(&self, name: &str) -> Result<&'a [usize]> {
        self.0(name).ok_or_else(|| wrong(format!("lacks `{name}`")))
    }

    /// Shape of a tensor as a matrix: the first axis, and the product of all others.
    fn matrix(&self, name: &str) -> Result<[usize; 2]> {
        match self.shape(name)? {
            [] | [0, ..] => Err(wrong(format!("has an empty `{name}`"))),
            [rows, rest @ ..] => Ok([*rows, rest.iter().product()]),
        }
    }

    fn both(&self, factors: &[Factor; 2]) -> Result<[Size; 2]> {
        Ok([self.factor(&factors[0])?, self.factor(&factors[1])?])
    }

    fn factor(&self, factor: &Factor) -> Result<Size> {
        match factor {
            Factor::Whole(name) => {
                let [rows, columns] = self.matrix(name)?;
                Ok(Size {
                    rows,
                    columns,
                    rank: None,
                })
            }
            Factor::Product { a, b } => self.product(a, b),
            Factor::Tucker { a, b, core } => self.tucker(self.matrix(a)?, self.matrix(b)?, core),
        }
    }

    /// a · b.
    fn product(&self, a: &str, b: &str) -> Result<Size> {
        let ([rows, left], [rank, columns]) = (self.matrix(a)?, self.matrix(b)?);
        if left != rank {
            let (shape_a, shape_b) = (self.shape(a)?, self.shape(b)?);
            return Err(wrong(format!(
                "has ranks that differ: `{a}` of {shape_a:?} and `{b}` of {shape_b:?}"
            )));
        }
        Ok(Size {
            rows,
            columns,
            rank: Some(rank),
        })
    }

    /// aᵀ · core · b of a `[rank, rows]` and b `[rank, columns]`.
    fn tucker(&self, a: [usize; 2], b: [usize; 2], core: &str) -> Result<Size> {
        match self.shape(core)? {
            [left, right, kernel @ ..] if [*left, *right] == [a[0], b[0]] => Ok(Size {
                rows: a[1],
                columns: b[1].saturating_mul(kernel.iter().product()),
                rank: Some(b[0]),
            }),
            shape => Err(wrong(format!(
                "has ranks that differ: `{core}` of {shape:?} between {} and {}",
                a[0], b[0]
            ))),
        }
    }
}
