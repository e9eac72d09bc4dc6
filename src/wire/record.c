/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "wire/record.h"

#include <string.h>

bool
shmkv_field_decode (const uint64_t **cursor, size_t *left, unsigned kind, ShmkvField *field_out)
{
  size_t size;
  uint64_t first;

  if (kind == SHMKV_WIRE_KIND_NONE)
    {
      *field_out = (ShmkvField) { .kind = kind };
      return true;
    }
  if ((kind != SHMKV_WIRE_KIND_INTEGER && kind != SHMKV_WIRE_KIND_BYTES) || *left < 8)
    return false;

  first = **cursor;
  if (kind == SHMKV_WIRE_KIND_BYTES && first > *left - 8)
    return false;
  size = shmkv_field_size (kind, first);
  if (size > *left)
    return false;

  *field_out = (ShmkvField) { .kind = kind, .integer = first };
  if (kind == SHMKV_WIRE_KIND_BYTES)
    field_out->bytes = *cursor + 1;
  *cursor += size / 8;
  *left -= size;
  return true;
}

uint64_t *
shmkv_field_encode (uint64_t *cursor, const ShmkvField *field)
{
  size_t words = shmkv_field_size (field->kind, field->integer) / 8;

  if (words == 0)
    return cursor;
  if (words > 1)
    {
      cursor[words - 1] = 0;
      memcpy (cursor + 1, field->bytes, field->integer);
    }
  cursor[0] = field->integer;
  return cursor + words;
}

static bool
begin_alike (const ShmkvField *one, const ShmkvField *other, uint64_t length)
{
  return length == 0 || memcmp (one->bytes, other->bytes, length) == 0;
}

bool
shmkv_field_equals (const ShmkvField *one, const ShmkvField *other)
{
  return one->kind == other->kind && one->integer == other->integer
         && (one->kind != SHMKV_WIRE_KIND_BYTES || begin_alike (one, other, one->integer));
}

bool
shmkv_field_begins_with (const ShmkvField *field, const ShmkvField *prefix)
{
  if (prefix->kind == SHMKV_WIRE_KIND_NONE)
    return true;
  return field->kind == SHMKV_WIRE_KIND_BYTES && prefix->kind == SHMKV_WIRE_KIND_BYTES
         && field->integer >= prefix->integer && begin_alike (field, prefix, prefix->integer);
}

bool
shmkv_pair_decode (const uint64_t **cursor, size_t *left, ShmkvPair *pair_out)
{
  const uint64_t *at = *cursor;
  size_t rest = *left;
  ShmkvPair pair = { .ttl_ms = 0 };
  uint64_t kinds;

  if (rest < 8)
    return false;
  kinds = *at++;
  rest -= 8;
  if (kinds > (SHMKV_WIRE_PAIR_TTL | 0xff)
      || !shmkv_field_decode (&at, &rest, kinds & 0xf, &pair.key)
      || !shmkv_field_decode (&at, &rest, kinds >> 4 & 0xf, &pair.value))
    return false;
  if ((kinds & SHMKV_WIRE_PAIR_TTL) != 0)
    {
      if (rest < 8 || *at == 0)
        return false;
      pair.ttl_ms = *at++;
      rest -= 8;
    }

  *pair_out = pair;
  *cursor = at;
  *left = rest;
  return true;
}

size_t
shmkv_pair_size (const ShmkvPair *pair)
{
  return 8 + shmkv_field_size (pair->key.kind, pair->key.integer)
         + shmkv_field_size (pair->value.kind, pair->value.integer) + (pair->ttl_ms != 0 ? 8 : 0);
}

uint64_t *
shmkv_pair_encode (uint64_t *cursor, const ShmkvPair *pair)
{
  *cursor++ = pair->key.kind | pair->value.kind << 4
              | (pair->ttl_ms != 0 ? SHMKV_WIRE_PAIR_TTL : 0);
  cursor = shmkv_field_encode (cursor, &pair->key);
  cursor = shmkv_field_encode (cursor, &pair->value);
  if (pair->ttl_ms != 0)
    *cursor++ = pair->ttl_ms;
  return cursor;
}
