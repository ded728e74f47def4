//! What a reader of a chart sees: texts and curves of the SVG, pixels of the PNG, the terminal plot line by line.

use report::{Chart, DropReason, ScheduleCurve, Series, Shape, schedule_chart};
use tiny_skia::Pixmap;

fn texts(svg: &str) -> Vec<String> {
    svg.split("<text")
        .skip(1)
        .filter_map(|t| t.split_once('>')?.1.split_once("</text>"))
        .map(|t| t.0.trim().to_owned())
        .collect()
}

fn exponential_rates(n: usize) -> Vec<f64> {
    (0..n).map(|i| 1e-7 * 1e8_f64.powf(i as f64 / (n - 1) as f64)).collect()
}

fn finder() -> Chart {
    let lrs = exponential_rates(100);
    let losses: Vec<f64> = lrs.iter().map(|lr| 2.3 - 1.9 / (1.0 + (1e-3 / lr).powf(1.2)) + lr * lr / 20.0).collect();
    Chart::new("LR finder")
        .x("learning rate")
        .y("loss")
        .x_log()
        .series(Series::line("smoothed", lrs, losses))
        .mark_x(1.2e-3, "valley 1.2e-3")
}

fn one_cycle() -> Chart {
    let ticks: Vec<f64> = (0..100).map(f64::from).collect();
    let up = |t: f64| if t < 30.0 { t / 30.0 } else { 1.0 - (t - 30.0) / 70.0 };
    let lrs: Vec<f64> = ticks.iter().map(|t| 0.1 * up(*t)).collect();
    let momenta: Vec<f64> = ticks.iter().map(|t| 0.95 - 0.1 * up(*t)).collect();
    schedule_chart(
        "one cycle",
        &[ScheduleCurve::new("rate", &ticks, lrs).with_momenta(momenta)],
        &[(30.0, "annealing".to_owned())],
    )
}

#[test]
fn svg_carries_title_labels_decades_marks_and_legend_as_text() {
    let chart = finder().series(Series::line("raw", [1e-7, 1.0], [2.0, 1.0]).faint());
    let svg = chart.to_svg().unwrap();
    let texts = texts(&svg);
    for expected in [
        "LR finder",
        "learning rate",
        "loss",
        "valley 1.2e-3",
        "smoothed",
        "raw",
        "1e-7",
        "1e-6",
        "1e-5",
        "1e-4",
        "0.001",
        "0.01",
        "0.1",
        "1",
        "10",
    ] {
        assert!(texts.iter().any(|t| t == expected), "{expected} is missing from {texts:?}");
    }
    assert!(svg.starts_with("<svg width=\"900\" height=\"540\""), "{}", &svg[..80]);
    assert!(svg.contains("viewBox=\"0 0 9000 5400\"") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("<title>LR finder</title>"));
}

#[test]
fn special_characters_stay_text() {
    let svg = Chart::new("a < b & \"c\"").y("α·β <x>").to_svg().unwrap();
    assert!(svg.contains("<title>a &lt; b &amp; \"c\"</title>"));
    assert!(texts(&svg).contains(&"α·β &lt;x&gt;".to_owned()));
}

#[test]
fn the_second_axis_has_its_own_ticks_and_label() {
    let texts = texts(&one_cycle().to_svg().unwrap());
    for expected in ["momentum", "0.86", "0.94", "rate", "rate momentum (right)", "annealing"] {
        assert!(texts.iter().any(|t| t == expected), "{expected} is missing from {texts:?}");
    }
}

/// Share of the pixels in a part of the picture (in shares of width and height) for which `is` holds.
fn share(picture: &Pixmap, (x0, x1): (f64, f64), (y0, y1): (f64, f64), is: impl Fn(u8, u8, u8) -> bool) -> f64 {
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    let (mut found, mut all) = (0_u32, 0_u32);
    for y in (y0 * h) as u32..(y1 * h) as u32 {
        for x in (x0 * w) as u32..(x1 * w) as u32 {
            found += u32::from(picture.pixel(x, y).is_some_and(|p| is(p.red(), p.green(), p.blue())));
            all += 1;
        }
    }
    f64::from(found) / f64::from(all)
}

const BLUE: fn(u8, u8, u8) -> bool = |r, g, b| r < 60 && (80..150).contains(&g) && b > 140;
const DARK: fn(u8, u8, u8) -> bool = |r, g, b| r < 120 && g < 120 && b < 120;

#[test]
fn png_has_the_right_size_and_ink_where_the_curve_is() {
    // Falls from the upper left to the lower right.
    let xs: Vec<f64> = (0..50).map(f64::from).collect();
    let ys: Vec<f64> = xs.iter().map(|x| 49.0 - x).collect();
    let chart = Chart::new("falling").x("step").y("loss").series(Series::line("", &xs, &ys)).size(600, 400);
    let picture = Pixmap::decode_png(&chart.to_png().unwrap()).unwrap();
    assert_eq!((picture.width(), picture.height()), (600 * Chart::PNG_SCALE, 400 * Chart::PNG_SCALE));
    assert!(share(&picture, (0.1, 0.4), (0.1, 0.4), BLUE) > 0.005, "no curve at the upper left");
    assert!(share(&picture, (0.7, 0.95), (0.6, 0.85), BLUE) > 0.005, "no curve at the lower right");
    assert_eq!(share(&picture, (0.6, 0.95), (0.1, 0.35), BLUE), 0.0, "ink where no curve is");
    // The title at the upper left, the x label at the bottom, the y label at the left.
    assert!(share(&picture, (0.02, 0.12), (0.02, 0.07), DARK) > 0.02, "no title");
    assert!(share(&picture, (0.45, 0.6), (0.93, 1.0), DARK) > 0.005, "no x label");
    assert!(share(&picture, (0.0, 0.045), (0.35, 0.6), DARK) > 0.005, "no y label");
}

#[test]
fn svg_and_png_place_text_alike() {
    // Nine letters of known width: the PNG's ink must end where the advance widths say, give or take a side bearing.
    let chart = Chart::new("MMMMMMMMM").size(400, 300);
    let picture = Pixmap::decode_png(&chart.to_png().unwrap()).unwrap();
    let inked = |x: u32| {
        (0..70).any(|y| {
            let p = picture.pixel(x, y).unwrap();
            DARK(p.red(), p.green(), p.blue())
        })
    };
    let last = (0..picture.width()).filter(|x| inked(*x)).max().unwrap();
    // Title: 16 px letters starting at x = 16; Roboto's M advances 1788 of 2048 units.
    let expected = f64::from(Chart::PNG_SCALE) * (16.0 + 9.0 * 16.0 * 1788.0 / 2048.0);
    assert!((f64::from(last) - expected).abs() < 6.0, "{last} instead of {expected}");
}

#[test]
fn a_legend_moves_off_the_plot_when_every_corner_is_taken() {
    let xs: Vec<f64> = (0..400).map(f64::from).collect();
    let wave = |phase: f64| xs.iter().map(|x| (x / 2.0 + phase).sin()).collect::<Vec<f64>>();
    let full =
        Chart::new("").series(Series::line("first", &xs, wave(0.0))).series(Series::line("second", &xs, wave(1.0)));
    let free = Chart::new("").series(Series::line("first", &xs, &xs)).series(Series::line("second", &xs, &xs));
    // x of the legend's text, and the right end of the x axis (the last tick label stands under it), in tenths of a pixel.
    let place = |chart: &Chart| -> (f64, f64) {
        let svg = chart.to_svg().unwrap();
        let x_of = |text: &str| -> f64 {
            let element = svg.split("<text").find(|t| t.contains(&format!(">\n{text}\n"))).unwrap();
            element.split_once("x=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        (x_of("first"), x_of("400"))
    };
    let (legend, axis_end) = place(&full);
    assert!(legend > axis_end, "the legend covers the curves: {legend} <= {axis_end}");
    let (legend, axis_end) = place(&free);
    assert!(legend < axis_end, "the legend is outside although there is room: {legend} > {axis_end}");
}

#[test]
fn whatever_the_data_a_chart_is_drawn_and_says_what_it_left_out() {
    let nasty: [&[f64]; 10] = [
        &[],
        &[1.0],
        &[0.0],
        &[-1.0, 0.0],
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[f64::MAX, f64::MIN],
        &[5e-324, 1e300],
        &[1.0, 1.0, 1.0],
        &[1e-300, 2e-300, f64::NAN, 1e-300],
        &[1.0, 1.0 + f64::EPSILON, 1e17, -1e17],
    ];
    for xs in nasty {
        for ys in nasty {
            for shape in [Shape::Line, Shape::Steps, Shape::Points] {
                let series = Series { shape, ..Series::line("s", xs, ys) };
                let right = series.clone().on_right();
                let base = Chart::new("t")
                    .series(series)
                    .series(right)
                    .band("b", xs, ys, ys)
                    .mark_x(f64::NAN, "n")
                    .mark_y(0.0, "z")
                    .mark_point(-1.0, 1.0, "p")
                    .size(300, 200);
                for chart in [base.clone(), base.clone().x_log().y_log(), base.y_limits(0.5, f64::NAN).y_log()] {
                    assert!(chart.to_svg().unwrap().ends_with("</svg>\n"));
                    assert!(!chart.to_svg().unwrap().contains("NaN"), "{xs:?} {ys:?}");
                    assert!(chart.terminal(10, 1).lines().count() >= 3);
                    let shown = xs.iter().zip(ys).all(|(x, y)| x.abs() <= 1e300 && y.abs() <= 1e300);
                    let reported = chart
                        .dropped()
                        .iter()
                        .any(|d| matches!(d.reason, DropReason::NotFinite | DropReason::TooLarge));
                    assert_eq!(reported, !shown, "{xs:?} {ys:?}");
                }
            }
        }
    }
}

#[test]
fn terminal_plot_of_a_finder() {
    insta::assert_snapshot!(finder().terminal(70, 12));
}

#[test]
fn several_marks_are_numbered_in_the_terminal() {
    let text = finder().mark_x(1.2e-3, "slide 1.2e-3").mark_x(1e-1, "minimum / 10 1.0e-1").terminal(70, 8);
    let lines: Vec<&str> = text.lines().collect();
    let legend = lines.last().unwrap();
    assert_eq!(*legend, "1 valley 1.2e-3   2 slide 1.2e-3   3 minimum / 10 1.0e-1");
    // Where two stand in one column, one number is under the other.
    let column = |line: &str, sign: char| line.chars().position(|c| c == sign);
    assert_eq!(column(lines[2], '1').unwrap(), column(lines[3], '2').unwrap(), "{text}");
    assert!(column(lines[2], '3') > column(lines[2], '1'), "{text}");
}

#[test]
fn terminal_plot_of_two_axes_and_a_phase() {
    insta::assert_snapshot!(one_cycle().x("step").terminal(60, 10));
}

#[test]
fn terminal_plot_of_data_with_gaps_on_a_log_axis() {
    let xs: Vec<f64> = (0..40).map(f64::from).collect();
    let ys: Vec<f64> = xs.iter().map(|x| if *x == 20.0 { 0.0 } else { 10_f64.powf(-x / 10.0) }).collect();
    insta::assert_snapshot!(
        Chart::new("gap").x("step").y("loss").y_log().series(Series::line("train", &xs, &ys)).terminal(60, 8)
    );
}

#[test]
fn a_terminal_plot_has_no_control_characters_and_fits() {
    let text = one_cycle().terminal(60, 8);
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 60), "{text}");
}
