// Unpacks the browser that npm carries into TMPDIR, with the libraries that a bare machine lacks.

import { tmpdir } from 'node:os';

// The package unpacks those libraries only where it believes to run on Amazon's Linux.
process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs22.x';

const { default: chromium } = await import('@sparticuz/chromium');
await chromium.executablePath();
console.log(`unpacked into ${tmpdir()}`);
