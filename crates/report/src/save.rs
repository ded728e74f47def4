//! Charts as files.

use std::path::Path;

use crate::{
    Chart, ReportError,
    atomic::{WRITTEN, atomic_write},
    layout::height_of_legend,
};

impl Chart {
    /// Saves the chart; the extension, in any case, says as what: `.svg` or `.png`. The file appears whole or not at
    /// all. A chart of very many curves becomes as high as it takes to name them all.
    ///
    /// # Errors
    ///
    /// [`ReportError::Extension`] for any other extension, [`ReportError::Write`] naming the path if it cannot be
    /// written, and what [`Chart::to_svg`] and [`Chart::to_png`] say.
    pub fn save(&self, path: &Path) -> Result<(), ReportError> {
        let is_svg = Self::is_saved_as_svg(path)?;
        let (width, height) = self.size;
        let chart = self.clone().size(width, height.max(height_of_legend(self).min(Self::MAX_SIDE)));
        let bytes = if is_svg {
            chart.to_svg()?.replacen("</title>", &format!("</title>\n<!-- {WRITTEN} -->"), 1).into_bytes()
        } else {
            chart.to_png()?
        };
        atomic_write(path, bytes).map_err(|source| ReportError::Write { path: path.to_owned(), source })
    }

    /// Whether a chart is saved under this name as SVG, and not as PNG.
    ///
    /// # Errors
    ///
    /// [`ReportError::Extension`] for any other extension.
    pub fn is_saved_as_svg(path: &Path) -> Result<bool, ReportError> {
        match path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("svg") => Ok(true),
            Some("png") => Ok(false),
            other => {
                let found = other.map_or_else(|| "a file without extension".to_owned(), |e| format!(".{e}"));
                Err(ReportError::Extension { path: path.to_owned(), found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Series;

    fn chart() -> Chart {
        Chart::new("t").series(Series::line("a", [0.0, 1.0], [1.0, 2.0]))
    }

    #[test]
    fn the_extension_says_the_format() {
        let folder = tempfile::tempdir().unwrap();
        for (name, start) in [("a.svg", b"<svg".as_slice()), ("b.PNG", b"\x89PNG".as_slice())] {
            let path = folder.path().join(name);
            chart().save(&path).unwrap();
            assert!(fs::read(&path).unwrap().starts_with(start), "{name}");
            assert!(crate::is_replaceable(&path), "{name} says who wrote it");
        }
        let theirs = folder.path().join("a.svg");
        fs::write(&theirs, chart().to_svg().unwrap()).unwrap();
        assert!(!crate::is_replaceable(&theirs) && crate::is_replaceable(&folder.path().join("none")));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "temporary files stayed behind");
    }

    #[test]
    fn other_extensions_are_refused_with_those_that_exist() {
        for (name, found) in [("plot.pdf", ".pdf"), ("plot", "a file without extension")] {
            let message = chart().save(Path::new(name)).unwrap_err().to_string();
            assert_eq!(message, format!("{name}: a chart is saved as .svg or .png, not as {found}"));
            assert!(!Path::new(name).exists());
        }
    }

    #[test]
    fn an_unwritable_path_is_named_and_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("plot.svg");
        let error = chart().save(&path).unwrap_err();
        assert!(matches!(error, ReportError::Write { .. }));
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");

        // A folder of that name cannot be replaced by a file.
        let taken = folder.path().join("taken.svg");
        fs::create_dir(&taken).unwrap();
        assert!(matches!(chart().save(&taken), Err(ReportError::Write { .. })));
        assert!(taken.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files stayed behind");
    }

    #[test]
    fn sizes_without_room_for_a_plot_are_refused() {
        for (width, height) in [(0, 0), (100, 500), (500, 100), (9000, 500)] {
            let error = chart().size(width, height).to_png().unwrap_err();
            assert!(matches!(error, ReportError::Size { .. }), "{error}");
            assert!(chart().size(width, height).to_svg().is_err());
        }
    }
}
