//! Tables as Parquet: a folder each, in it files that every engine reads; a table that grows day by
//! day has a folder for each month (`month=2022-03-01`, as Hive names them).
//!
//! Rows wait in columns until there are enough for a row group, so memory does not grow with them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Currency, Rate};

use super::table::{Cell, Column, Format, Kind, Rows, Table};
use crate::data::{make_private, private_file};
use crate::fail::{Failure, Outcome};

/// Rows of a row group: enough to compress well, few enough to wait in memory and to be read by
/// many at a time.
const GROUP: usize = 1 << 18;

/// Name of the one file in a folder.
pub(super) const FILE: &str = "part-0.parquet";

/// Digits of all decimals. Numbers of so many fit into 64 bits, which engines read fastest.
const PRECISION: i32 = 18;

/// Decimals of rates.
const RATE_SCALE: i32 = 8;

/// Folders of Parquet files, named after their tables.
pub(super) struct Parquet {
    folder: PathBuf,
}

impl Parquet {
    /// Makes the folder, which must not have anything in it: files that an earlier export left
    /// would be read together with the new ones.
    pub(super) fn new(folder: &Path) -> Outcome<Parquet> {
        make_private(folder)?;
        let mut entries = folder
            .read_dir()
            .map_err(|error| Failure::io(folder, &error))?;
        if entries.next().is_some() {
            return Err(Failure(format!(
                "{} is not empty, and engines read all files of a folder together; name another \
                 folder with --out, or empty this one",
                folder.display()
            )));
        }
        Ok(Parquet {
            folder: folder.to_owned(),
        })
    }
}

impl Format for Parquet {
    fn create(&self, table: &Table<'_>, currency: Currency) -> Outcome<Box<dyn Rows>> {
        let by_month = table.by_month;
        let mut file = ParquetTable {
            folder: self.folder.join(table.name),
            schema: schema(table, currency.digits() as i32)?,
            properties: Arc::new(
                WriterProperties::builder()
                    .set_created_by(format!("tandem {}", env!("CARGO_PKG_VERSION")))
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build(),
            ),
            day: by_month.and_then(|day| table.columns.iter().position(|at| at.name == day)),
            month: None,
            columns: table.columns.iter().map(Buffer::new).collect(),
            rows: 0,
            writer: None,
        };
        if file.day.is_none() {
            file.open("")?;
        }
        Ok(Box::new(file))
    }
}

/// How many rows a file says that it has, read from its end as every engine does.
pub(super) fn rows(path: &Path) -> Outcome<u64> {
    let file = File::open(path).map_err(|error| Failure::io(path, &error))?;
    let reader = SerializedFileReader::new(file)?;
    let rows = reader.metadata().file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or_default())
}

/// A table's schema; amounts have `digits` decimals.
fn schema(table: &Table<'_>, digits: i32) -> Outcome<TypePtr> {
    let mut names: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for column in table.columns {
        // A field of the agreement may be called like a column of ours, or differ from another in
        // case only, which engines do not tell apart.
        let mut name = column.name.to_owned();
        while names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            name.push('_');
        }
        fields.push(Arc::new(field(column, &name, digits)?));
        names.push(name);
    }
    let group = Type::group_type_builder(table.name).with_fields(fields);
    Ok(Arc::new(group.build()?))
}

fn field(column: &Column<'_>, name: &str, digits: i32) -> Result<Type, ParquetError> {
    let decimal = |scale| Some(LogicalType::decimal(scale, PRECISION));
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Day => (Physical::INT32, Some(LogicalType::Date)),
        Kind::Amount => (Physical::INT64, decimal(digits)),
        Kind::Rate => (Physical::INT64, decimal(RATE_SCALE)),
    };
    let scale = match column.kind {
        Kind::Amount => Some(digits),
        Kind::Rate => Some(RATE_SCALE),
        Kind::Text | Kind::Integer | Kind::Day => None,
    };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_precision(scale.map_or(-1, |_| PRECISION))
        .with_scale(scale.unwrap_or(-1))
        .with_repetition(match column.empty {
            None => Repetition::REQUIRED,
            Some(_) => Repetition::OPTIONAL,
        })
        .build()
}

/// A table being written: its files one after the other.
struct ParquetTable {
    folder: PathBuf,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    /// Place of the column of the day, if there is a folder for each month.
    day: Option<usize>,
    /// Year and month of the open file.
    month: Option<(i32, u32)>,
    columns: Vec<Buffer>,
    /// Rows that wait.
    rows: usize,
    writer: Option<SerializedFileWriter<File>>,
}

impl ParquetTable {
    /// Ends the open file and begins one in a folder below the table's.
    fn open(&mut self, below: &str) -> Outcome {
        self.close()?;
        let folder = self.folder.join(below);
        make_private(&folder)?;
        let path = folder.join(FILE);
        // Nothing is ever written over.
        let file = private_file()
            .create_new(true)
            .open(&path)
            .map_err(|error| Failure::io(&path, &error))?;
        let (schema, properties) = (self.schema.clone(), self.properties.clone());
        self.writer = Some(
            SerializedFileWriter::new(file, schema, properties)
                .map_err(|error| self.failure(&error))?,
        );
        Ok(())
    }

    /// Writes the rows that wait.
    fn flush(&mut self) -> Result<(), ParquetError> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        if self.rows > 0 {
            self.rows = 0;
            let mut group = writer.next_row_group()?;
            for column in &mut self.columns {
                if let Some(writer) = group.next_column()? {
                    column.write(writer)?;
                }
            }
            group.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Outcome {
        self.flush().map_err(|error| self.failure(&error))?;
        let closed = self.writer.take().map(SerializedFileWriter::close);
        match closed.transpose() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &ParquetError) -> Failure {
        Failure(format!("{}: {error}", self.folder.display()))
    }
}

impl Rows for ParquetTable {
    fn row(&mut self, cells: &[Cell<'_>]) -> Outcome {
        if let Some(Cell::Day(day)) = self.day.map(|place| cells[place]) {
            let (year, month, _) = day.ymd();
            if self.month != Some((year, month)) {
                self.month = Some((year, month));
                self.open(&format!("month={year:04}-{month:02}-01"))?;
            }
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            if let Err(what) = column.push(cell) {
                return Err(Failure(format!("{}: {what}", self.folder.display())));
            }
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.flush().map_err(|error| self.failure(&error))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        if self.day.is_some() && self.month.is_none() {
            // A table without a file could not be read at all; this is Hive's name for no month.
            self.open("month=__HIVE_DEFAULT_PARTITION__")?;
        }
        self.close()
    }
}

/// The values of a column that wait for their row group.
struct Buffer {
    values: Values,
    /// If the column may be empty: 1 for a value, 0 for none.
    levels: Option<Vec<i16>>,
}

enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    /// One text after the other, and where each ends.
    Text(Vec<u8>, Vec<usize>),
}

impl Buffer {
    fn new(column: &Column<'_>) -> Buffer {
        Buffer {
            values: match column.kind {
                Kind::Text => Values::Text(Vec::new(), Vec::new()),
                Kind::Day => Values::Int32(Vec::new()),
                Kind::Integer | Kind::Amount | Kind::Rate => Values::Int64(Vec::new()),
            },
            levels: column.empty.map(|_| Vec::new()),
        }
    }

    /// Takes a value, or says why the column cannot hold it.
    fn push(&mut self, cell: &Cell<'_>) -> Result<(), String> {
        match (&mut self.values, *cell) {
            (_, Cell::Empty) => {
                let levels = self.levels.as_mut();
                levels.ok_or("a value is missing")?.push(0);
                return Ok(());
            }
            (Values::Text(bytes, ends), Cell::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(bytes.len());
            }
            (Values::Int32(days), Cell::Day(Day(day))) => days.push(day),
            (Values::Int64(numbers), Cell::Integer(number)) => numbers.push(number),
            (Values::Int64(numbers), Cell::Amount(Amount(number)) | Cell::Rate(Rate(number))) => {
                if number.unsigned_abs() >= 10_u64.pow(PRECISION as u32) {
                    return Err(format!("{number} has more than {PRECISION} digits"));
                }
                numbers.push(number);
            }
            (_, cell) => return Err(format!("{cell:?} is of another type than its column")),
        }
        if let Some(levels) = &mut self.levels {
            levels.push(1);
        }
        Ok(())
    }

    /// Writes the values and forgets them.
    fn write(&mut self, mut writer: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.levels.as_deref();
        match &mut self.values {
            Values::Int32(days) => {
                writer
                    .typed::<Int32Type>()
                    .write_batch(days, levels, None)?;
                days.clear();
            }
            Values::Int64(numbers) => {
                writer
                    .typed::<Int64Type>()
                    .write_batch(numbers, levels, None)?;
                numbers.clear();
            }
            Values::Text(bytes, ends) => {
                // All values share the memory of one.
                let all = ByteArray::from(std::mem::take(bytes));
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let texts: Vec<_> = starts
                    .zip(ends.iter())
                    .map(|(start, end)| all.slice(start, end - start))
                    .collect();
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&texts, levels, None)?;
                ends.clear();
            }
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        writer.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use parquet::basic::LogicalType;
    use parquet::record::Field;
    use tandem_engine::Engine;
    use tandem_journal::Memory;
    use tempfile::TempDir;

    use super::super::csv::{Csv, fraction, plain};
    use super::super::tables::Tables;
    use super::super::{sample, write};
    use super::*;

    /// The files of a table, month by month.
    fn files(table: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut entries: Vec<_> = fs::read_dir(table)
            .unwrap()
            .map(|at| at.unwrap().path())
            .collect();
        entries.sort();
        for entry in entries {
            match entry.is_dir() {
                true => found.extend(files(&entry)),
                false => found.push(entry),
            }
        }
        found
    }

    fn reader(path: &Path) -> SerializedFileReader<File> {
        SerializedFileReader::new(File::open(path).unwrap()).unwrap()
    }

    /// A value as the CSV tables write it; decimals of eight digits are rates.
    fn text(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Long(number) => number.to_string(),
            Field::Date(day) => Day(*day).to_string(),
            Field::Decimal(decimal) => {
                let number = i64::from_be_bytes(decimal.data().try_into().unwrap());
                let mut text = String::new();
                match decimal.scale() {
                    8 => text = fraction(Rate(number)),
                    _ => plain(&mut text, "CNY".parse().unwrap(), Amount(number)),
                }
                text
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn both_exports(engine: &mut Engine<Memory>) -> (TempDir, TempDir) {
        let (csv, parquet) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut as_csv = Tables::new(Csv::new(csv.path()).unwrap(), false);
        let mut as_parquet = Tables::new(Parquet::new(parquet.path()).unwrap(), true);
        write(engine.journal(), &mut [&mut as_csv, &mut as_parquet]).unwrap();
        (csv, parquet)
    }

    #[test]
    fn every_table_has_the_rows_of_its_csv_file() {
        for mut engine in [sample::engine(), sample::eventful()] {
            let (csv, parquet) = both_exports(&mut engine);
            let mut compared = BTreeSet::new();
            for entry in fs::read_dir(csv.path()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let mut lines = ::csv::Reader::from_path(&path).unwrap();
                let header = lines.headers().unwrap().clone();
                let expected: Vec<Vec<String>> = lines.deserialize().map(Result::unwrap).collect();
                let mut found: Vec<Vec<String>> = Vec::new();
                for file in files(&parquet.path().join(&name)) {
                    for row in reader(&file).get_row_iter(None).unwrap() {
                        let row = row.unwrap();
                        assert!(row.get_column_iter().map(|column| column.0).eq(&header));
                        found.push(row.get_column_iter().map(|column| text(column.1)).collect());
                    }
                }
                assert_eq!(expected, found, "{name}");
                compared.insert(name);
            }
            assert_eq!(compared.len(), 9, "{compared:?}");
        }
    }

    #[test]
    fn months_have_folders_and_month_ends_are_what_the_ledgers_say() {
        let (csv, parquet) = both_exports(&mut sample::engine());
        let mut months: Vec<_> = files(&parquet.path().join("postings"));
        months
            .iter_mut()
            .for_each(|path| *path = path.strip_prefix(parquet.path()).unwrap().into());
        assert_eq!(
            months[0],
            Path::new("postings/month=2024-01-01/part-0.parquet")
        );
        assert_eq!(months.len(), 6);

        let mut ends = BTreeMap::<(String, String), i64>::new();
        for file in files(&parquet.path().join("month_ends")) {
            for row in reader(&file).get_row_iter(None).unwrap() {
                let cells: Vec<_> = row
                    .unwrap()
                    .into_columns()
                    .into_iter()
                    .map(|at| text(&at.1))
                    .collect();
                let key = (cells[0].clone(), cells[2].clone());
                *ends.entry(key).or_default() += cents(&cells[5]);
            }
        }
        let postings: Vec<BTreeMap<String, String>> =
            ::csv::Reader::from_path(csv.path().join("postings.csv"))
                .unwrap()
                .deserialize()
                .map(Result::unwrap)
                .collect();
        let days: BTreeSet<_> = ends.keys().map(|key| key.0.clone()).collect();
        assert_eq!(days.len(), 5, "{days:?}");
        for day in days {
            for lender in ["cloud-bank", "river-bank"] {
                let on_loans = postings.iter().filter(|row| {
                    row["day"] <= day && row["party"] == lender && row["account"] == "1310"
                });
                let balance: i64 = on_loans
                    .map(|row| cents(&row["debit"]) - cents(&row["credit"]))
                    .sum();
                let end = ends.get(&(day.clone(), lender.to_owned()));
                assert_eq!(
                    end.copied().unwrap_or_default(),
                    balance,
                    "{lender} on {day}"
                );
            }
        }
    }

    fn cents(text: &str) -> i64 {
        text.replace('.', "").parse().unwrap_or_default()
    }

    #[test]
    fn columns_have_the_types_of_their_description() {
        let column = |kind| Column::new(kind, "of", "");
        let columns = [
            Column::new(Kind::Text, "state", ""),
            Column::new(Kind::Amount, "amount", "").empty("sometimes"),
            Column::new(Kind::Rate, "rate", ""),
            Column::new(Kind::Day, "day", ""),
            column(Kind::Integer),
            Column::new(Kind::Text, "State", ""),
        ];
        let table = Table {
            name: "all",
            about: "",
            by_month: None,
            columns: &columns,
        };
        for digits in [0, 2, 3] {
            let schema = schema(&table, digits).unwrap();
            let fields = schema.get_fields();
            let amount = &fields[1];
            assert_eq!(
                amount.get_basic_info().logical_type_ref(),
                Some(&LogicalType::decimal(digits, 18))
            );
            assert!(amount.is_optional() && !fields[0].is_optional());
            let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
            assert_eq!(names, ["state", "amount", "rate", "day", "of", "State_"]);
        }
    }

    #[test]
    fn row_groups_are_written_as_they_fill() {
        let folder = TempDir::new().unwrap();
        let columns = [Column::new(Kind::Integer, "number", "")];
        let table = Table {
            name: "numbers",
            about: "",
            by_month: None,
            columns: &columns,
        };
        let format = Parquet::new(folder.path()).unwrap();
        let mut rows = format.create(&table, "CNY".parse().unwrap()).unwrap();
        for number in 0..2 * GROUP as i64 + 1 {
            rows.row(&[Cell::Integer(number)]).unwrap();
        }
        rows.finish().unwrap();
        let reader = reader(&folder.path().join("numbers/part-0.parquet"));
        let groups = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows());
        assert!(groups.eq([GROUP as i64, GROUP as i64, 1]));
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = TempDir::new().unwrap();
        let columns = [Column::new(Kind::Amount, "amount", "")];
        let table = Table {
            name: "amounts",
            about: "",
            by_month: None,
            columns: &columns,
        };
        let format = Parquet::new(folder.path()).unwrap();
        let mut rows = format.create(&table, "CNY".parse().unwrap()).unwrap();
        let path = folder.path().join("amounts").display().to_string();
        let mut said = |cell| rows.row(&[cell]).expect_err("it does not fit").0;
        assert_eq!(said(Cell::Empty), format!("{path}: a value is missing"));
        assert_eq!(
            said(Cell::Amount(Amount(10_i64.pow(18)))),
            format!("{path}: 1000000000000000000 has more than 18 digits")
        );
        assert_eq!(
            said(Cell::Text("five")),
            format!("{path}: Text(\"five\") is of another type than its column")
        );
        let again = Parquet::new(folder.path()).err().unwrap();
        assert_eq!(
            again.0,
            format!(
                "{} is not empty, and engines read all files of a folder together; name another \
                 folder with --out, or empty this one",
                folder.path().display()
            )
        );
    }
}
