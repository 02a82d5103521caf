//! What came out of the problems.

use super::problems::problem::{Problem, Setting};
use crate::columns::align;
use softdot::{Error, Isa};

/// Which problems' results have the bits that they should have, for each way to compute them.
pub struct Report {
    problems: Vec<Problem>,
    columns: Vec<Column>,
}

/// An instruction set and a number of threads.
pub struct Column {
    pub isa: Isa,
    pub threads: usize,
    /// Whether each problem's results agree.
    agree: Vec<bool>,
}

impl Report {
    /// Nothing computed yet.
    pub fn new(problems: Vec<Problem>) -> Self {
        Self { problems, columns: Vec::new() }
    }

    /// Computes all problems in one more way, which takes so many threads.
    ///
    /// # Errors
    /// The library's.
    pub fn compute(&mut self, setting: Setting, threads: usize) -> Result<(), Error> {
        let agree = |problem: &Problem| Ok((problem.hashes)(setting)? == problem.expected);
        let agree = self.problems.iter().map(agree).collect::<Result<_, Error>>()?;
        self.columns.push(Column { isa: setting.isa, threads, agree });
        Ok(())
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the problems that a column has other bits of.
    pub fn differing<'a>(&'a self, column: &'a Column) -> impl Iterator<Item = &'static str> + 'a {
        let problems = self.problems.iter().zip(&column.agree);
        problems.filter(|&(_, &agrees)| !agrees).map(|(problem, _)| problem.name)
    }

    /// Whether all results have the bits that they should have.
    pub fn agrees(&self) -> bool {
        self.count_differing() == 0
    }

    fn count_differing(&self) -> usize {
        self.columns.iter().map(|column| self.differing(column).count()).sum()
    }

    /// A row for each problem, and a last line that says it all.
    pub fn text(&self) -> String {
        let names = self.columns.iter().map(|column| format!("{} ×{}", column.isa, column.threads));
        let header = ["problem".to_owned()].into_iter().chain(names).collect();
        let rows = self.problems.iter().enumerate().map(|(row, problem)| {
            let outcome = |column: &Column| if column.agree[row] { "ok" } else { "DIFFERS" };
            let outcomes = self.columns.iter().map(|column| outcome(column).to_owned());
            [problem.name.to_owned()].into_iter().chain(outcomes).collect()
        });
        format!("{}\n{}\n", align(header, rows), self.conclusion())
    }

    fn conclusion(&self) -> String {
        let results = self.problems.len() * self.columns.len();
        match self.count_differing() {
            0 => format!("all {results} results have the same bits as on every other machine"),
            differing => format!(
                "{differing} of {results} results DIFFER from what every machine should compute: \
                 please report this table"
            ),
        }
    }
}
