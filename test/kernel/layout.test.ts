/** Another version's maps are not touched: a person decides. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKernel } from './own-kernel.ts';

test('maps of another layout are left as they are, and the text says what opens them', async () => {
  const own = openKernel();
  try {
    const config = own.kernel.maps.config.get(0)!;
    own.kernel.maps.config.set(0, { ...config, abi: config.abi + 1 });
    assert.throws(
      () => own.reopen(),
      (error: Error) =>
        error.message.includes(`The maps in "${own.pinDir}" have layout ${config.abi + 1}`) &&
        error.message.includes(`"postern agent detach --pin-dir ${own.pinDir} --yes"`),
    );
    assert.is(own.kernel.maps.config.get(0)!.abi, config.abi + 1);
  } finally {
    await own.destroy();
  }
});

test.run();
