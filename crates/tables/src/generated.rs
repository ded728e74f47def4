//! Tables of our own making: a function of a seed, with an answer that can be learned. For examples, tests and benchmarks.

use std::io::{self, Write};

use splitmix::SplitMix64;

const DISTRICTS: [(&str, f64); 8] = [
    ("harbour", 1.4),
    ("hill", 1.25),
    ("market", 1.1),
    ("mill", 0.95),
    ("north", 0.85),
    ("old town", 1.3),
    ("station", 0.8),
    ("west", 1.0),
];

/// Writes a CSV of houses: `area`, `rooms`, `age` (numbers; one age in twenty is missing), `district`, `heating`
/// (categories), `garden` (yes or no), `price` (thousands, a number) and `sold` (`fast` or `slow`).
///
/// The price is 2.4 a square metre, more or less by district, heating, garden and age, with a noise of 8 %. A house sells
/// fast where a logistic function of its district and of price per square metre says so.
///
/// # Errors
/// What the writer says.
pub fn houses(rows: usize, seed: u64, out: &mut impl Write) -> io::Result<()> {
    let mut random = SplitMix64::new(seed);
    writeln!(out, "area,rooms,age,district,heating,garden,price,sold")?;
    for _ in 0..rows {
        let area = (95.0 + 35.0 * random.normal()).clamp(25.0, 320.0);
        let rooms = (area / 28.0 + random.normal() * 0.7).round().max(1.0);
        let age = (random.fraction() * 110.0).floor();
        let (district, worth) = DISTRICTS[random.below(DISTRICTS.len())];
        let (heating, warmth) = [("district", 1.05), ("gas", 1.0), ("heat pump", 1.1), ("oil", 0.93)][random.below(4)];
        let has_garden = random.fraction() < 0.35;
        let ageing = 1.0 - 0.25 * (age / 110.0).sqrt() + if age > 95.0 { 0.2 } else { 0.0 };
        let factor = worth * warmth * ageing * if has_garden { 1.12 } else { 1.0 };
        let price = 2.4 * area * factor * (1.0 + 0.08 * random.normal());
        let logit = 3.0 * (worth - 1.0) - 2.5 * (price / area - 2.4) + 1.2 * f64::from(u8::from(has_garden)) - 0.2;
        let sold = if random.fraction() < 1.0 / (1.0 + (-3.0 * logit).exp()) { "fast" } else { "slow" };
        let age = if random.fraction() < 0.05 { String::new() } else { age.to_string() };
        let garden = if has_garden { "yes" } else { "no" };
        writeln!(out, "{area:.1},{rooms},{age},{district},{heating},{garden},{price:.1},{sold}")?;
    }
    Ok(())
}

/// What a user thinks of an item, in a table of [`ratings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratings {
    /// Users; each row has one, all equally often.
    pub users: usize,
    /// Items; item `i` of a row is drawn with a probability in proportion to `1 / (i + 1)`, as popularity is.
    pub items: usize,
    /// Rows.
    pub rows: usize,
    /// The seed.
    pub seed: u64,
}

/// Writes a CSV of user and item ids, `user,item,liked`, where few rows speak of most ids: `liked` is `yes` with the
/// probability `1 / (1 + exp(-3 (b_u + c_i + p_u . q_i)))`, with a leaning `b` and `c` and a taste of four numbers `p` and
/// `q` for each user and item, all normal.
///
/// # Errors
/// What the writer says.
pub fn ratings(Ratings { users, items, rows, seed }: Ratings, out: &mut impl Write) -> io::Result<()> {
    const TASTES: usize = 4;
    let mut random = SplitMix64::new(seed);
    // The leaning, and a taste whose product with another has a deviation of 1.
    let mut draw = |count: usize| -> Vec<[f64; 1 + TASTES]> {
        let scale = (TASTES as f64).powf(-0.25);
        let entry =
            |random: &mut SplitMix64| std::array::from_fn(|at| random.normal() * if at == 0 { 0.7 } else { scale });
        (0..count).map(|_| entry(&mut random)).collect()
    };
    let (of_users, of_items) = (draw(users), draw(items));
    let mut shares = Vec::with_capacity(items);
    let mut sum = 0.0;
    for item in 0..items {
        sum += 1.0 / (item + 1) as f64;
        shares.push(sum);
    }
    writeln!(out, "user,item,liked")?;
    for _ in 0..rows {
        let user = random.below(users);
        let at = random.fraction() * sum;
        let item = shares.partition_point(|&share| share <= at).min(items.saturating_sub(1));
        let (u, i) = (&of_users[user], &of_items[item]);
        let taste: f64 = u[1..].iter().zip(&i[1..]).map(|(u, i)| u * i).sum();
        let liked = random.fraction() < 1.0 / (1.0 + (-3.0 * (u[0] + i[0] + taste)).exp());
        writeln!(out, "u{user},i{item},{}", if liked { "yes" } else { "no" })?;
    }
    Ok(())
}
