//! Keys and values kept from token to token.

mod common;

use candle_core::{DType, Device, Result, Tensor};
use common::{assert_same_bits, message, random};
use softdot::Causal;
use softdot_candle::{Attention, KvCache};

/// Appended in parts of any sizes and views, the bits are those of all keys at once.
#[test]
fn a_cache_has_the_bits_of_its_keys() -> Result<()> {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let (q, k) = (random(&[2, 6, 90, 16], dtype, 1), random(&[2, 90, 2, 16], dtype, 2));
        // Rows first, as projections are.
        let v = random(&[2, 90, 2, 12], dtype, 3).transpose(1, 2)?;
        let k = k.transpose(1, 2)?;
        let attention = Attention::new().causal(Causal::BottomRight);
        for room in [0, 1, 64, 200] {
            let mut cache = KvCache::new(room);
            let mut len = 0;
            for new in [5, 1, 0, 1, 40, 1, 1, 41] {
                let part = |tensor: &Tensor, start, rows| tensor.narrow(2, start, rows);
                cache.append(&part(&k, len, new)?, &part(&v, len, new)?)?;
                let q = part(&q, len, new)?;
                len += new;
                assert_eq!((cache.len(), cache.is_empty()), (len, false));
                let expected = attention.run(&q, (&part(&k, 0, len)?, &part(&v, 0, len)?))?;
                assert_same_bits(&attention.run(&q, &cache)?, &expected);
                let rows_first = attention.clone().rows_first();
                let swapped = rows_first.run(&q.transpose(1, 2)?, &cache)?;
                assert_same_bits(&swapped.transpose(1, 2)?, &expected);
            }
            assert_eq!(len, 90);
        }
    }
    Ok(())
}

#[test]
fn truncated_and_reset_caches_take_other_keys() -> Result<()> {
    let (q, k) = (random(&[1, 4, 3, 8], DType::F32, 1), random(&[1, 2, 9, 8], DType::F32, 2));
    let other = random(&[1, 2, 9, 8], DType::F32, 3);
    let mut cache = KvCache::new(4);
    cache.append(&k, &k)?;
    cache.truncate(20)?;
    assert_eq!(cache.len(), 9);
    cache.truncate(5)?;
    cache.append(&other.narrow(2, 5, 4)?, &other.narrow(2, 5, 4)?)?;
    let both = Tensor::cat(&[&k.narrow(2, 0, 5)?, &other.narrow(2, 5, 4)?], 2)?;
    assert_same_bits(
        &Attention::new().run(&q, &cache)?,
        &Attention::new().run(&q, (&both, &both))?,
    );
    cache.truncate(0)?;
    assert!(cache.is_empty());
    let nothing = Attention::new().run(&q, &cache)?;
    assert_same_bits(&nothing, &nothing.zeros_like()?);
    cache.reset();
    let k = random(&[2, 4, 3, 8], DType::F16, 4);
    cache.append(&k, &k)?;
    let q = random(&[2, 4, 1, 8], DType::F32, 5);
    assert_same_bits(&Attention::new().run(&q, &cache)?, &Attention::new().run(&q, (&k, &k))?);
    Ok(())
}

#[test]
fn what_does_not_fit_changes_nothing() -> Result<()> {
    let mut cache = KvCache::new(4);
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let (q, k, v) =
        (ones(&[1, 2, 1, 8]), random(&[1, 2, 3, 8], DType::F32, 1), ones(&[1, 2, 3, 4]));
    let empty = "cache: expected keys and values, by append, found an empty cache";
    assert_eq!(message(Attention::new().run(&q, &cache)), empty);
    assert!(cache.append(&k, &v.narrow(2, 0, 2)?).is_err());
    assert_eq!(message(Attention::new().run(&q, &cache)), empty);
    cache.append(&k, &v)?;
    let expected = Attention::new().run(&q, &cache)?;
    let cases = [
        (ones(&[2, 3, 8]), v.clone(), "key: expected 4 axes [batch, heads, rows, columns]"),
        (k.clone(), ones(&[1, 2, 3]), "value: expected 4 axes"),
        (k.clone(), ones(&[1, 2, 2, 4]), "value: expected shape [1, 2, 3, 4], as the key"),
        (ones(&[1, 3, 3, 8]), ones(&[1, 3, 3, 4]), "key: expected 2 heads (as the packed keys)"),
        (ones(&[2, 2, 3, 8]), ones(&[2, 2, 3, 4]), "key: expected 1 batch entries"),
        (ones(&[1, 2, 3, 9]), v.clone(), "key: expected 8 columns (head_dim)"),
        (k.clone(), ones(&[1, 2, 3, 5]), "value: expected 4 columns of F32, as the cache"),
        (k.clone(), v.to_dtype(DType::F16)?, "value: expected 4 columns of F32, as the cache"),
        (k.to_dtype(DType::F64)?, v.clone(), "key: expected elements of f32, f16 or bf16"),
        (k.clone(), v.to_dtype(DType::U8)?, "value: expected elements of f32, f16 or bf16"),
    ];
    for (k, v, expected) in cases {
        let found = message(cache.append(&k, &v));
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(cache.len(), 3);
    assert_same_bits(&Attention::new().run(&q, &cache)?, &expected);
    Ok(())
}
