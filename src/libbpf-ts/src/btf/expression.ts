/** TypeScript text that reads and writes one shape through a DataView named `view`. Used by `generate.ts` only. */
import type { Field, Shape, StructShape } from './shape.ts';

export interface Names {
  /** Notes the import of `name` and returns `text`. */
  use(name: string, text: string): string;
  /** Whether the 64-bit integer of field "type.field" is bigint. */
  isBigint(shape: Shape, path: string): boolean;
  /** Identifier of a struct's codec, declaring it if needed. */
  codecOf(shape: StructShape, path: string): string;
}

/** Expression that reads a field of the struct at `offset` in `view`. */
export function readField(field: Field, path: string, names: Names): string {
  if (field.bits === undefined) return readValue(field.shape, at('offset', field.offset), path, names);
  const { shift, size } = field.bits;
  const unit = readValue({ ...field.shape, signed: false } as Shape, at('offset', field.offset), path, names);
  const mask = hex(2 ** size - 1);
  const signed = field.shape.kind === 'int' && field.shape.signed;
  if (signed) return `(${unit} << ${32 - size - shift}) >> ${32 - size}`;
  return size === 32 ? unit : `(${unit} >>> ${shift}) & ${mask}`;
}

/** Expression that reads a value at `offset`, itself an expression. */
export function readValue(shape: Shape, offset: string, path: string, names: Names, depth = 0): string {
  switch (shape.kind) {
    case 'int': {
      const sign = shape.signed ? 'Int' : 'Uint';
      if (shape.size === 1) return `view.get${sign}8(${offset})`;
      if (shape.size < 8) return `view.get${sign}${shape.size * 8}(${offset}, true)`;
      if (names.isBigint(shape, path)) return `view.getBig${sign}64(${offset}, true)`;
      const get = shape.signed ? 'getS64' : 'getU64';
      return names.use(get, `${get}(view, ${offset})`);
    }
    case 'bool':
      return `view.getUint8(${offset}) !== 0`;
    case 'float':
      return `view.getFloat${shape.size * 8}(${offset}, true)`;
    case 'string':
      return names.use('getString', `getString(view, ${offset}, ${shape.size})`);
    case 'bytes':
      return names.use('getBytes', `getBytes(view, ${offset}, ${shape.size})`);
    case 'array': {
      const { length, element } = shape;
      if (length <= 8)
        return `[${Array.from({ length }, (_, index) => readValue(element, at(offset, index * element.size), path, names, depth)).join(', ')}]`;
      const index = `i${depth}`;
      return `Array.from({ length: ${length} }, (_, ${index}) => ${readValue(element, `${offset} + ${index} * ${element.size}`, path, names, depth + 1)})`;
    }
    case 'struct':
      return `${names.codecOf(shape, path)}.decode(view, ${offset})`;
  }
}

/** Statement that writes field `value.NAME`. */
export function writeField(field: Field, path: string, names: Names): string {
  const value = `value.${field.name}`;
  const offset = at('offset', field.offset);
  let statement: string;
  if (field.bits === undefined) statement = writeValue(field.shape, offset, value, path, names);
  else {
    const { shift, size } = field.bits;
    const unit = { ...field.shape, signed: false } as Shape;
    const mask = 2 ** size - 1;
    const kept = hex(~(mask << shift) >>> 0);
    const bits = `(${readValue(unit, offset, path, names)} & ${kept}) | ((${value} & ${hex(mask)}) << ${shift})`;
    statement =
      size === 32 ? writeValue(unit, offset, value, path, names) : writeValue(unit, offset, bits, path, names);
  }
  return field.optional ? `if (${value} !== undefined) ${statement}` : statement;
}

/** Statement that writes the expression `value` at `offset`. */
export function writeValue(shape: Shape, offset: string, value: string, path: string, names: Names, depth = 0): string {
  switch (shape.kind) {
    case 'int': {
      const sign = shape.signed ? 'Int' : 'Uint';
      if (shape.size === 1) return `view.set${sign}8(${offset}, ${value});`;
      if (shape.size < 8) return `view.set${sign}${shape.size * 8}(${offset}, ${value}, true);`;
      if (names.isBigint(shape, path)) return `view.setBig${sign}64(${offset}, ${value}, true);`;
      const set = shape.signed ? 'setS64' : 'setU64';
      return names.use(set, `${set}(view, ${offset}, ${value});`);
    }
    case 'bool':
      return `view.setUint8(${offset}, ${value} ? 1 : 0);`;
    case 'float':
      return `view.setFloat${shape.size * 8}(${offset}, ${value}, true);`;
    case 'string':
      return names.use('setString', `setString(view, ${offset}, ${shape.size}, ${value});`);
    case 'bytes':
      return names.use('setBytes', `setBytes(view, ${offset}, ${shape.size}, ${value});`);
    case 'array': {
      const index = `i${depth}`;
      const item = `item${depth}`;
      const body = writeValue(
        shape.element,
        `${offset} + ${index} * ${shape.element.size}`,
        item,
        path,
        names,
        depth + 1,
      );
      const missing = `if (${item} === undefined) throw new RangeError('${path}: wanted ${shape.length} elements');`;
      return `for (let ${index} = 0; ${index} < ${shape.length}; ${index}++) { const ${item} = ${value}[${index}]; ${missing} ${body} }`;
    }
    case 'struct':
      return `${names.codecOf(shape, path)}.encode(view, ${offset}, ${value});`;
  }
}

/** "offset + 8" and 2 -> "offset + 10" */
function at(base: string, offset: number): string {
  const [, head = base, sum = '0'] = /^(.*?)(?: \+ (\d+))?$/.exec(base) ?? [];
  const total = Number(sum) + offset;
  return total === 0 ? head : `${head} + ${total}`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
