package protocol_test
import ("testing";"runtime";"bytes";"time"
"crypto/ed25519"
"github.com/agent-launcher/agent-launcher/protocol"
"github.com/agent-launcher/agent-launcher/protocol/sign")
func alloc(t *testing.T, name string, n int, f func() error){ var a,b runtime.MemStats; runtime.GC(); runtime.ReadMemStats(&a); s:=time.Now(); err:=f(); d:=time.Since(s); runtime.ReadMemStats(&b)
 t.Logf("%s: in %d KiB, total %d KiB, %v %.80v",name,n>>10,(b.TotalAlloc-a.TotalAlloc)>>10,d,err)}
func TestProbe(t *testing.T){
 arr:=func(n int) []byte { return []byte{0x99,byte(n>>8),byte(n)} }
 nulls:=append(arr(4096),bytes.Repeat([]byte{0xf6},4096)...)
 head:=append([]byte{0xa3,1,1,2,0x58,32},make([]byte,32)...)
 head=append(head,3)
 var d []byte
 d=append(d,head...); d=append(d,arr(2000)...)
 for range 2000 { d=append(d,0xa1,3); d=append(d,nulls...) }
 alloc(t,"request nulls",len(d),func() error{_,e:=protocol.DecodeRequest(d);return e})
 d=append([]byte{0xa1,5},arr(4096)...)
 for range 4096 { d=append(d,0xa1,4); d=append(d,nulls...) }
 alloc(t,"reply nulls",len(d),func() error{_,e:=protocol.DecodeReply(d);return e})
 pub,_,_:=ed25519.GenerateKey(nil)
 empt:=append([]byte{0x9a,0,1,0,0},bytes.Repeat([]byte{0x80},1<<16)...)
 d=[]byte{0xd2,0x84,0x43,0xa1,1,0x27,0xa1,0x18,99,0x98,120}
 for range 120 { d=append(d,empt...)}
 d=append(d,0x41,1,0x58,64); d=append(d,make([]byte,64)...)
 alloc(t,"sign1 header",len(d),func() error{_,e:=sign.Verify(pub,d,nil,"");return e})
 d=append([]byte{0xd2,0x84,0x43,0xa1,1,0x27,0xa0,0x5a,3,0xf0,0,0},make([]byte,0x3f00000)...)
 d=append(d,0x58,64); d=append(d,make([]byte,64)...)
 alloc(t,"sign1 payload 63M",len(d),func() error{_,e:=sign.Verify(pub,d,nil,"");return e})
}
